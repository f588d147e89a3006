//! Schema files that refer to each other become one schema, before anything judges them: what is
//! checked and compiled has no reference that leaves it (`contracts.md` section 10.2).

use super::ReadFile;
use super::fields::is_plain_path;
use serde_json::{Map, Value as Json};

/// Most files that one schema is made of.
const MOST: usize = 64;

/// A schema with the files that its references name below its `$defs`, and references to these
/// places instead. `name` is its own file, if it has one.
///
/// # Errors
/// A file that cannot be read or is no JSON, and more than there may be.
pub(super) fn bundle(
    mut root: Json,
    name: Option<&str>,
    read: ReadFile<'_>,
    parse: impl Fn(&str) -> Result<Json, String>,
) -> Result<Json, String> {
    let mut files = Files { root: name.unwrap_or_default(), wanted: Vec::new() };
    files.rewrite(&mut root, files.root);
    let mut found = Map::new();
    let mut at = 0;
    while let Some(path) = files.wanted.get(at).cloned() {
        at += 1;
        if at > MOST {
            return Err(format!("the schema is made of more than {MOST} files"));
        }
        let mut schema = parse(&read(&path)?).map_err(|sentence| format!("{path}: {sentence}"))?;
        files.rewrite(&mut schema, &path);
        found.insert(path, schema);
    }
    if let Json::Object(schema) = &mut root
        && !found.is_empty()
    {
        let definitions = schema.entry("$defs").or_insert_with(|| Json::Object(Map::new()));
        let Json::Object(definitions) = definitions else {
            return Err("`$defs` of the schema is no object".to_owned());
        };
        for (path, schema) in found {
            if definitions.insert(path.clone(), schema).is_some() {
                return Err(format!("`$defs` has a schema of the name of the file `{path}`"));
            }
        }
    }
    Ok(root)
}

/// The files of one schema.
struct Files<'n> {
    /// The name of the first; empty for one that stands in the contract.
    root: &'n str,
    /// Those that references name, each once.
    wanted: Vec<String>,
}

impl Files<'_> {
    /// Makes every reference of a file one within the whole.
    fn rewrite(&mut self, schema: &mut Json, own: &str) {
        match schema {
            Json::Array(list) => list.iter_mut().for_each(|below| self.rewrite(below, own)),
            Json::Object(object) => {
                for (key, below) in object.iter_mut() {
                    match (key.as_str(), below) {
                        ("$ref", Json::String(reference)) => {
                            if let Some(place) = self.place(reference, own) {
                                *reference = place;
                            }
                        }
                        // Values, in which nothing is a reference.
                        ("const" | "enum" | "examples", _) => {}
                        (
                            "$defs" | "properties" | "patternProperties" | "dependentSchemas",
                            Json::Object(named),
                        ) => named.values_mut().for_each(|below| self.rewrite(below, own)),
                        (_, below) => self.rewrite(below, own),
                    }
                }
            }
            _ => {}
        }
    }

    /// Where a reference of a file leads in the whole; none if it is nothing that a bundle has,
    /// which K-33 then refuses.
    fn place(&mut self, reference: &str, own: &str) -> Option<String> {
        let (file, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        if !fragment.is_empty() && !fragment.starts_with('/') {
            return None;
        }
        let path = match own.rsplit_once('/') {
            _ if file.is_empty() => own.to_owned(),
            Some((folder, _)) => format!("{folder}/{file}"),
            None => file.to_owned(),
        };
        if path == self.root {
            return Some(format!("#{fragment}"));
        }
        if !is_plain_path(&path) {
            return None;
        }
        let place = format!("#/$defs/{}{fragment}", path.replace('/', "~1"));
        if !self.wanted.contains(&path) {
            self.wanted.push(path);
        }
        Some(place)
    }
}
