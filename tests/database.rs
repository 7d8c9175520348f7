//! The database as a source, with a real PostgreSQL.
#![cfg(unix)]

mod support;

use support::postgres::Postgres;

#[test]
fn smoke() {
    let db = Postgres::with_example();
    assert_eq!(db.psql("select count(*) from projects"), "1\n");
    let two = Postgres::start();
    assert_eq!(two.psql("select count(*) from projects"), "0\n");
    assert!(db.log().is_empty());
}
