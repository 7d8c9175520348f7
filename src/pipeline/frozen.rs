//! Which computed values a patch would freeze.

use serde_json::Value;

use super::{
    Rendered,
    provenance::{self, Writer},
};
use crate::{
    json::Json,
    json_patch::{Document, Operation, Options, PathPart, Stamp, apply},
};

impl Rendered {
    /// The values of this pod that operations which are applied after all patches would write over, each with its
    /// pointer at that moment and who made it. What an operation only shifts, moves or removes is not written over.
    pub fn overwritten(&self, operations: &[Value]) -> Vec<(String, Writer)> {
        let mut document = self.pod.clone();
        let mut last: Stamp = 0;
        document.for_each_leaf(&mut |_, by, origin| last = last.max(by).max(origin));
        let mut found = Vec::new();
        for (operation, stamp) in operations.iter().zip(last.saturating_add(1)..) {
            let text = |name: &str| operation.get(name).and_then(Value::as_str).unwrap_or_default();
            let path = parts(&document, text("path"));
            let keys = provenance::keys(&path);
            let in_list = keys
                .split_last()
                .is_some_and(|(_, list)| document.list_len(list).is_some());
            let writes = match text("op") {
                "replace" => true,
                "add" | "copy" | "move" => !in_list,
                _ => false,
            };
            if writes {
                document.for_each_leaf_below(&keys, &mut |path, by, origin| {
                    if by <= last {
                        found.push((provenance::pointer(path), self.writer(origin)));
                    }
                });
            }
            let operation = Operation::new(&Json::from(operation));
            apply(&mut document, &[(&operation, stamp)], Options { validate: false });
        }
        found
    }
}

/// The path of an operation, through what is there.
fn parts(document: &Document, pointer: &str) -> Vec<PathPart> {
    let mut parts: Vec<PathPart> = Vec::new();
    for token in pointer.split('/').skip(1) {
        let in_list = document.list_len(&provenance::keys(&parts)).is_some();
        parts.push(match token.parse() {
            Ok(index) if in_list => PathPart::Index(index),
            _ => PathPart::Name(token.replace("~1", "/").replace("~0", "~").into()),
        });
    }
    parts
}
