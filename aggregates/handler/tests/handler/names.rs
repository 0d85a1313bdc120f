//! The handler decides whatever there is to decide: its sources name no aggregate, no command and no event of one.

use std::fs;
use std::path::Path;

use steward_events::event::AggregateKind;

#[test]
fn the_handler_names_no_aggregate() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut read = 0;
    for entry in fs::read_dir(sources).unwrap() {
        let path = entry.unwrap().path();
        let source = fs::read_to_string(&path).unwrap();
        read += 1;
        let code = source.split("#[cfg(test)]").next().unwrap().lines();
        let code: Vec<&str> = code.filter(|line| !line.trim_start().starts_with("//")).collect();
        let code = code.join("\n");
        let words: Vec<&str> = code.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        for kind in &AggregateKind::ALL.map(|kind| format!("{kind:?}")) {
            for named in [format!("{kind}Event"), format!("{kind}Command"), kind.clone()] {
                assert!(!words.contains(&named.as_str()), "{} names {named}", path.display());
            }
        }
    }
    assert!(read > 5, "{read} sources");
}
