//! json_patch
