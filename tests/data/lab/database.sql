-- The site of README.md's transcripts.
INSERT INTO server_settings (name, value) VALUES
  ('kucalc', 'onprem'),
  ('default_quotas', '{"internet":true,"idle_timeout":3600,"mem":1000,"cpu":1,"mem_oc":5,"cpu_oc":10}'),
  ('max_upgrades', '{"memory":16000,"cores":4}');

INSERT INTO site_licenses (id, title, activates, expires, last_used, run_limit, managers, quota) VALUES
  ('f3d76abf-38a5-4e4e-884d-2e70f1afddb9', 'Lab NFS', '2023-01-20 16:37:12.595', NULL, '2026-11-20 08:15:00', 20,
   '{22222222-2222-4222-8222-222222222222}',
   '{"cpu": 1, "ram": 1, "patch": "[{\"op\":\"add\",\"path\":\"/spec/containers/0/volumeMounts/-\",\"value\":{\"name\":\"lab\",\"mountPath\":\"/data/lab\"}},{\"op\":\"add\",\"path\":\"/spec/volumes/-\",\"value\":{\"name\":\"lab\",\"nfs\":{\"server\":\"nfs.example\",\"path\":\"/lab\"}}}]"}'),
  ('0b5e91c2-64d7-4a1f-b2c3-8e9f0a1b2c3d', 'Lab NFS ro', '2023-01-20 16:37:12', NULL, '2026-11-19 17:40:00', NULL,
   NULL,
   '{"cpu": 1, "ram": 1, "patch": "[{\"op\":\"add\",\"path\":\"/spec/containers/0/volumeMounts/-\",\"value\":{\"name\":\"lab\",\"mountPath\":\"/data/lab\",\"readOnly\":true}},{\"op\":\"add\",\"path\":\"/spec/volumes/-\",\"value\":{\"name\":\"lab\",\"nfs\":{\"server\":\"nfs.example\",\"path\":\"/lab\",\"readOnly\":true}}}]"}'),
  ('77aa10b4-02c7-4c0e-9b1e-5d0f6f2f7a10', 'big', '2024-03-01 00:00:00', NULL, '2026-11-20 08:15:00', 5,
   NULL, '{"ram": 16, "cpu": 4}'),
  ('c1a55000-7d31-4b8a-9c35-1f0e2d4b6a88', 'Course label', '2026-09-01 00:00:00', '2099-03-01 00:00:00',
   '2026-11-21 09:00:00', 30, NULL,
   '{"cpu": 1, "ram": 1, "patch": "[{\"op\":\"add\",\"path\":\"/metadata/labels/course\",\"value\":\"bio101\"}]"}'),
  ('d20bbed5-90f1-4a6d-8b77-64c1a2e3f905', 'dropped', '2026-09-01 00:00:00', NULL, NULL, NULL, NULL,
   '{"patch": "[{\"op\":\"add\",\"path\":\"/metadata/labels/team\",\"value\":\"bio\"},{\"op\":\"add\",\"value\":1}]"}'),
  ('e0000000-5a1d-4c3b-8f2e-7d6c5b4a3f21', 'exhausted', '2023-01-20 16:37:12', NULL, NULL, 0, NULL,
   '{"cpu": 1, "ram": 8}'),
  ('a9e10ca7-2b6f-4d19-bd0e-3c58f7146e02', 'GPU node', '2026-01-01 00:00:00', NULL, '2026-10-02 12:00:00', NULL, NULL,
   '{"cpu": 1, "ram": 2, "patch": "[{\"op\":\"add\",\"path\":\"/spec/nodeSelecter\",\"value\":{\"gpu\":\"true\"}}]"}');

INSERT INTO projects (project_id, title, users, settings, site_license, state, compute_image, env) VALUES
  ('11111111-1111-4111-8111-111111111111', 'Lab', '{"22222222-2222-4222-8222-222222222222": {"group": "owner"}}', NULL,
   '{"f3d76abf-38a5-4e4e-884d-2e70f1afddb9": {}, "0b5e91c2-64d7-4a1f-b2c3-8e9f0a1b2c3d": {}, "77aa10b4-02c7-4c0e-9b1e-5d0f6f2f7a10": {}}',
   '{"state": "opened"}', 'u', NULL),
  ('33333333-3333-4333-8333-333333333333', 'Course', '{"22222222-2222-4222-8222-222222222222": {"group": "owner"}}', NULL,
   '{"c1a55000-7d31-4b8a-9c35-1f0e2d4b6a88": {}, "e0000000-5a1d-4c3b-8f2e-7d6c5b4a3f21": {}}', '{"state": "opened"}', 'u', '{"COURSE": "bio101"}'),
  ('44444444-4444-4444-8444-444444444444', 'Thesis', NULL, NULL, NULL, '{"state": "archived"}', 'u', NULL),
  ('55555555-5555-4555-8555-555555555555', 'Vision', NULL, NULL,
   '{"a9e10ca7-2b6f-4d19-bd0e-3c58f7146e02": {}, "d20bbed5-90f1-4a6d-8b77-64c1a2e3f905": {}}', '{"state": "opened"}', 'u', NULL);
