//! Each rule, seen to fail.

use super::*;

/// The lines of what is found in `text`, were it `file`.
fn lines(file: &str, text: &str) -> Vec<usize> {
    findings_in(file, text).iter().map(|f| f.line).collect()
}

#[test]
fn every_arrow_that_is_not_in_the_table_is_found() {
    for (room, allowed) in ARROWS {
        for (other, _) in ARROWS {
            let path = match other {
                "proto" => "airlift_proto::Report".to_owned(),
                other => format!("crate::{other}::Thing"),
            };
            let file = match room {
                "proto" => "crates/proto/src/lib.rs".to_owned(),
                room => format!("src/{room}/x.rs"),
            };
            let found = lines(&file, &format!("fn f(a: {path}) {{}}"));
            let fine = room == other || allowed.contains(&other);
            assert_eq!(found.is_empty(), fine, "{room} → {other}: {found:?}");
        }
    }
}

#[test]
fn the_rooms_never_form_a_circle() {
    let mut left: Vec<_> = ARROWS.to_vec();
    while !left.is_empty() {
        let names: Vec<&str> = left.iter().map(|(room, _)| *room).collect();
        left.retain(|(_, may)| may.iter().any(|other| names.contains(other)));
        assert!(left.len() < names.len(), "a circle among {names:?}");
    }
}

#[test]
fn an_arrow_is_found_however_it_is_written() {
    let file = "src/http/task/list.rs";
    for (line, text) in [
        (1, "use crate::store::TaskFilter;"),
        (
            3,
            "use crate::{\n    domain::{Task, store},\n    store::{a, b},\n};",
        ),
        (2, "fn f() {\n    let x = crate::store::Db::open();\n}"),
        (1, "use super::super::super::store::Db;"),
        (1, "use super::super::super::{domain, store::Db};"),
        (1, "use airlift::store::Db;"),
    ] {
        assert_eq!(lines(file, text), [line], "{text}");
    }
    for text in [
        "// crate::store::Db",
        "/* crate::store::Db\n */",
        "const A: &str = \"crate::store::Db\";",
        "const A: &str = r#\"\"crate::store\"#;",
        "use super::super::store::not_the_room;",
        "use crate::http::store;",
        "pub(crate) fn store() {}",
        "const QUOTE: char = '\"'; // crate::store::Db \"",
    ] {
        assert_eq!(lines(file, text), [0; 0], "{text}");
    }
}

#[test]
fn a_room_that_is_not_in_the_table_is_found() {
    assert_eq!(lines("src/util/text.rs", ""), [1]);
    assert_eq!(lines("src/lib.rs", "pub mod util;"), [0; 0]);
}

#[test]
fn a_library_in_the_wrong_room_is_found() {
    assert_eq!(lines("src/http/x.rs", "\nuse sqlx::Row;"), [2]);
    assert_eq!(lines("src/domain/x.rs", "use tokio::time;"), [1]);
    assert_eq!(lines("src/service/x.rs", "use rumqttc::QoS;"), [1]);
    assert_eq!(lines("src/store/x.rs", "use sqlx::Row;"), [0; 0]);
}

#[test]
fn sql_outside_of_the_store_is_found() {
    for sql in [
        "SELECT 1\n FROM a",
        "INSERT INTO a VALUES (1)",
        "UPDATE a SET b = 1",
        "DELETE FROM a",
    ] {
        let text = format!("\nfn f() {{ run(\"{sql}\"); }}");
        assert_eq!(lines("src/service/x.rs", &text), [2], "{sql}");
        assert_eq!(lines("src/store/x.rs", &text), [0; 0], "{sql}");
    }
    assert_eq!(lines("src/service/x.rs", "// SELECT a FROM b"), [0; 0]);
}

#[test]
fn what_is_too_long_is_found() {
    let line = "// filler\n";
    let file = "crates/testkit/src/x.rs";
    assert_eq!(lines(file, &line.repeat(FILE_LINES_MAX)), [0; 0]);
    assert_eq!(lines(file, &line.repeat(FILE_LINES_MAX + 1)), [501]);
    let function = |filler: usize| format!("\nfn f(a: [u8; 4]) {{\n{}}}\n", line.repeat(filler));
    assert_eq!(lines(file, &function(FUNCTION_LINES_MAX - 2)), [0; 0]);
    assert_eq!(lines(file, &function(FUNCTION_LINES_MAX - 1)), [2]);
}

#[test]
fn leftovers_and_unsafe_code_are_found() {
    for word in ["todo!()", "unimplemented!()", "dbg!(1)", "unsafe { f() }"] {
        let text = format!("fn f() {{\n    {word}\n}}");
        assert_eq!(lines("firmware/src/x.rs", &text), [2], "{word}");
    }
    assert_eq!(lines("src/http/x.rs", "// todo!() unsafe {}"), [0; 0]);
}

#[test]
fn a_path_of_one_machine_is_found_in_any_text() {
    assert_eq!(lines("docs/a.md", "\nsee /home/somebody/x"), [2]);
    assert_eq!(lines("test.sh", "cd /Users/airlift"), [1]);
    assert_eq!(lines("docs/a.md", "http://host/home/x"), [0; 0]);
}

#[test]
fn an_unpaired_migration_is_found() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let both = names(&["0001_initial.sql", "0002_tags.sql"]);
    assert_eq!(unpaired(&both, &both), []);
    let found = unpaired(&both, &names(&["0001_initial.sql", "0002_tag.sql"]));
    let files: Vec<&str> = found.iter().map(|f| f.file.as_str()).collect();
    assert_eq!(
        files,
        [
            "migrations/sqlite/0002_tag.sql",
            "migrations/postgres/0002_tags.sql"
        ]
    );
}

#[test]
fn a_change_that_the_agents_disk_does_not_see_is_found() {
    let file = "crates/agent/src/stage/x.rs";
    for change in [
        "fs::write(path, bytes)?;",
        "std::fs::rename(a, b)?;",
        "symlink(a, b)?;",
        "std::os::unix::fs::symlink(a, b)?;",
        "rustix::fs::unlinkat(a, b)?;",
        "renameat_with(CWD, a, CWD, b, flags)?;",
        "let file = File::create(path)?;",
        "let file = OpenOptions::new().write(true).create(true).open(path)?;",
        "let child = Command::new(a).spawn()?;",
        "let done = Command::new(a)\n.output()?;",
        "disk.act(act, || fs::write(a, b))?; fs::write(a, b)?;",
    ] {
        let text = format!("fn f() {{ {change}\n}}");
        assert!(!lines(file, &text).is_empty(), "{change}");
        assert_eq!(lines("crates/agent/src/disk.rs", &text), [0; 0], "{change}");
        assert_eq!(lines("src/blob/x.rs", &text), [0; 0], "{change}");
        let test = format!("#[cfg(test)]\nmod tests {{\n{text}\n}}");
        assert_eq!(lines(file, &test), [0; 0], "{change}");
    }
    for fine in [
        "disk.act(act, || fs::rename(a, b))?;",
        "self.disk.act(act, || { renameat_with(a, b)?; Ok(()) })?;",
        "let mut child = disk.act(act, || command.spawn())?;",
        "disk.symlink(a, b)?; disk.rename(a, b)?; self.rename(a, b)?;",
        "let file = OpenOptions::new().read(true).write(true).open(path)?;",
        "let bytes = fs::read(path)?; let file = File::open(path)?;",
        "thread::Builder::new().spawn(move || {})?;",
        "// fs::write(a, b)",
    ] {
        let text = format!("fn f() {{\n{fine}\n}}");
        assert_eq!(lines(file, &text), [0; 0], "{fine}");
    }
}

#[test]
fn a_device_crate_that_depends_on_the_server_is_found() {
    let proto = "crates/proto/Cargo.toml";
    assert_eq!(lines(proto, "[dependencies]\nserde = \"1\""), [0; 0]);
    assert_eq!(
        lines(proto, "[dependencies]\nserde = \"1\"\nrumqttc = \"1\""),
        [3]
    );
    let firmware = "firmware/Cargo.toml";
    let text = "[dependencies]\nairlift-proto = \"1\"\nairlift.path = \"..\"";
    assert_eq!(lines(firmware, text), [3]);
    for name in ["agent", "package"] {
        let file = format!("crates/{name}/Cargo.toml");
        let text = "[dependencies]\nserde = \"1\"\nairlift.path = \"../..\"";
        assert_eq!(lines(&file, text), [3], "{name}");
    }
}

#[test]
fn a_threat_whose_test_is_gone_is_found() {
    let text = "| replay | held | `a_test_that_is_here`, `--flag` |\n| freeze | held | `a_test_that_is_gone` |";
    let code = "fn a_test_that_is_here() {}";
    let found = threats::missing_tests("SECURITY.md", text, code);
    assert_eq!(found.iter().map(|it| it.line).collect::<Vec<_>>(), [2]);
}
