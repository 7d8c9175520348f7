//! The path that was meant in place of the one that is written.
//!
//! A path that leads nowhere is mostly one slip away from one that does: a slash within a key, dots for slashes, the
//! path of a Deployment, a field one level too high, a name misspelt. There is one answer to "what was meant", given
//! as data, so that whoever asks (the rules about operations, the messages about unknown fields) says the same.

use std::fmt;

use serde_json::Value;

use super::pod::schema::{self, Schema};
use crate::json_patch::{Document, Key, Kind, Shape};

/// A path that exists or is allowed, and why it was not the one that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meant {
    /// The path's tokens, unescaped.
    pub tokens: Vec<String>,
    /// The slips, as they were found from the root downwards. Never empty.
    pub slips: Vec<Slip>,
    /// Whether a list stands there already, to which one would rather append.
    pub is_list: bool,
}

/// A slip in a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slip {
    /// A step of the path does not start with a slash: `spec.nodeSelector`, `spec/volumes`.
    Slashes,
    /// A slash within a key is not escaped: `nvidia.com/gpu`.
    EscapedSlash,
    /// Something follows the `-` that appends.
    AfterDash,
    /// An index counts from the end.
    NegativeIndex,
    /// A list's element is addressed by its name.
    ElementName,
    /// A name is misspelt, or of another case.
    Spelling,
    /// The field belongs to another place.
    Place,
    /// A part of the path is none of a Pod's: this pointer, as in `/spec/template` of a Deployment.
    NotOfAPod(String),
}

/// What a path is for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// The kind of the value that is put there; `None` if none is.
    pub kind: Option<Kind>,
    /// Whether something must stand there already, as for `remove`.
    pub must_exist: bool,
}

impl Meant {
    /// The path as a JSON pointer (RFC 6901).
    pub fn pointer(&self) -> String {
        pointer(&self.tokens)
    }
}

/// `did you mean /spec/volumes/- (one - appends)?`
impl fmt::Display for Meant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.pointer();
        write!(f, "did you mean {path}")?;
        let mut why: Vec<String> = Vec::new();
        for slip in &self.slips {
            let slip = match slip {
                Slip::Slashes => "each step of a path starts with a slash".to_owned(),
                Slip::EscapedSlash => "a slash within a key is written ~1".to_owned(),
                Slip::AfterDash => "one - appends, and nothing follows it".to_owned(),
                Slip::NegativeIndex => "an index counts from the front".to_owned(),
                Slip::ElementName => "an element is addressed by its index".to_owned(),
                Slip::NotOfAPod(place) => format!("a Pod has no {place}"),
                Slip::Spelling | Slip::Place => continue,
            };
            if !why.contains(&slip) {
                why.push(slip);
            }
        }
        if self.is_list {
            why.push(format!("it exists; {path}/- appends to it"));
        }
        if !why.is_empty() {
            write!(f, " ({})", why.join("; "))?;
        }
        f.write_str("?")
    }
}

/// A document as far as paths are concerned.
pub trait Tree {
    /// What stands there.
    fn look(&self, path: &[Key<'_>]) -> Stands;
    /// The names of the members of a map.
    fn names(&self, path: &[Key<'_>]) -> Vec<String>;
    /// A string.
    fn text(&self, path: &[Key<'_>]) -> Option<&str>;
}

/// What stands at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// Nothing, or `null`.
    Nothing,
    /// A list of so many elements.
    List(usize),
    /// A map.
    Map,
    /// Something else.
    Scalar,
}

impl Tree for Document {
    fn look(&self, path: &[Key<'_>]) -> Stands {
        let mut keys = path.iter();
        let mut stands = Stands::Nothing;
        let mut wanted = true;
        self.walk(&mut |shape, _| {
            stands = match shape {
                Shape::Nothing | Shape::Null => Stands::Nothing,
                Shape::List(length) => Stands::List(length),
                Shape::Map => Stands::Map,
                Shape::Text(_) | Shape::Scalar => Stands::Scalar,
            };
            let key = keys.next();
            wanted = key.is_some();
            key.copied()
        });
        // The last key was asked for and led to nothing.
        if wanted { Stands::Nothing } else { stands }
    }

    fn names(&self, path: &[Key<'_>]) -> Vec<String> {
        let names = self.member_names(path).unwrap_or_default();
        names.into_iter().map(str::to_owned).collect()
    }

    fn text(&self, path: &[Key<'_>]) -> Option<&str> {
        self.get_str(path)
    }
}

fn value_at<'v>(value: &'v Value, path: &[Key<'_>]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, key| match key {
        Key::Name(name) => value.as_object()?.get(*name),
        Key::Index(index) => value.as_array()?.get(*index),
        Key::End => None,
    })
}

impl Tree for Value {
    fn look(&self, path: &[Key<'_>]) -> Stands {
        match value_at(self, path) {
            None | Some(Self::Null) => Stands::Nothing,
            Some(Self::Array(list)) => Stands::List(list.len()),
            Some(Self::Object(_)) => Stands::Map,
            Some(_) => Stands::Scalar,
        }
    }

    fn names(&self, path: &[Key<'_>]) -> Vec<String> {
        let map = value_at(self, path).and_then(Self::as_object);
        map.into_iter().flat_map(|map| map.keys().cloned()).collect()
    }

    fn text(&self, path: &[Key<'_>]) -> Option<&str> {
        value_at(self, path)?.as_str()
    }
}

/// How many slips of one path are mended.
const SLIPS: usize = 4;
/// How many elements of a list, or members of a map, are looked at for a name.
const LOOKED_AT: usize = 100;
/// What a place may cost to be the one that was meant; see [`Search`].
const FARTHEST: usize = 5;
/// Paths with more tokens are nobody's slip.
const MOST_TOKENS: usize = 20;

/// The nearest path that exists or is allowed; `None` if the path is as it should be, or nothing is near.
///
/// Of a Pod, the schema says what is allowed; of any other document, what stands in it does. Takes time in
/// proportion to the path and to the schema, whatever the document's size.
pub fn meant(document: &dyn Tree, path: &str, wanted: Wanted) -> Option<Meant> {
    let mut tokens: Vec<String> = match path.strip_prefix('/') {
        Some(rest) => rest.split('/').map(unescaped).collect(),
        None if path.is_empty() => return None,
        None => {
            let rest = path.trim_start_matches(['$', '#']).trim_start_matches(['/', '.']);
            rest.split('/').map(unescaped).collect()
        }
    };
    let mut slips = Vec::new();
    if !path.starts_with('/') {
        slips.push(Slip::Slashes);
    }
    let ask = Ask {
        document,
        schema: is_pod(document).then(schema::pod),
        wanted,
    };
    while slips.len() < SLIPS && tokens.len() <= MOST_TOKENS {
        let Some((mended, slip)) = ask.mend(&tokens) else {
            break;
        };
        tokens = mended;
        slips.push(slip);
    }
    if slips.is_empty() || !ask.is_allowed(&tokens) {
        return None;
    }
    let put_a_list = wanted.kind == Some(Kind::List) && slips.contains(&Slip::Place);
    let is_list = put_a_list
        && ask
            .keys(&tokens)
            .is_some_and(|keys| matches!(document.look(&keys), Stands::List(1..)));
    Some(Meant {
        tokens,
        slips,
        is_list,
    })
}

fn is_pod(document: &dyn Tree) -> bool {
    match document.text(&[Key::Name("kind")]) {
        Some(kind) => kind == "Pod",
        None => {
            matches!(
                document.look(&[Key::Name("spec"), Key::Name("containers")]),
                Stands::List(_)
            )
        }
    }
}

fn unescaped(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}

fn pointer(tokens: &[String]) -> String {
    tokens
        .iter()
        .map(|token| format!("/{}", token.replace('~', "~0").replace('/', "~1")))
        .collect()
}

fn index(token: &str) -> Option<usize> {
    let digits = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| token.parse().ok())?
}

/// A question for a path.
struct Ask<'a> {
    document: &'a dyn Tree,
    /// What is allowed, if the document is a Pod.
    schema: Option<&'static Schema>,
    wanted: Wanted,
}

/// Where the schema ends a path.
struct Stop {
    /// The token that is not allowed.
    at: usize,
    /// What it was looked up in.
    parent: &'static Schema,
}

impl Ask<'_> {
    /// The schema at the end of the tokens.
    fn schema_at(from: &'static Schema, tokens: &[String]) -> Result<&'static Schema, Stop> {
        let mut schema = from;
        for (at, token) in tokens.iter().enumerate() {
            let below = match schema {
                Schema::Struct(_) => schema.field(token),
                Schema::Map(value) => Some(&**value),
                Schema::List(element) => {
                    let ends = token == "-" && at + 1 == tokens.len();
                    (ends || index(token).is_some()).then_some(&**element)
                }
                Schema::Any => return Ok(schema),
                _ => None,
            };
            schema = below.ok_or(Stop { at, parent: schema })?;
        }
        Ok(schema)
    }

    /// The keys that lead to the tokens' place; `None` if a list on the way has no such element.
    fn keys<'t>(&self, tokens: &'t [String]) -> Option<Vec<Key<'t>>> {
        let mut keys: Vec<Key<'t>> = Vec::with_capacity(tokens.len());
        for token in tokens {
            keys.push(match self.document.look(&keys) {
                Stands::List(length) => Key::Index(index(token).filter(|index| *index < length)?),
                _ => Key::Name(token),
            });
        }
        Some(keys)
    }

    fn stands(&self, tokens: &[String]) -> Stands {
        self.keys(tokens)
            .map_or(Stands::Nothing, |keys| self.document.look(&keys))
    }

    /// Whether a value may be put at the end of the tokens, or stands there where it must.
    fn is_allowed(&self, tokens: &[String]) -> bool {
        let allowed = match self.schema {
            Some(schema) => Self::schema_at(schema, tokens)
                .is_ok_and(|schema| self.wanted.kind.is_none_or(|kind| schema.takes(kind))),
            None => tokens
                .split_last()
                .is_some_and(|(_, parents)| self.stands(parents) != Stands::Nothing),
        };
        allowed && (!self.wanted.must_exist || self.stands(tokens) != Stands::Nothing)
    }

    /// The tokens with their first slip mended.
    fn mend(&self, tokens: &[String]) -> Option<(Vec<String>, Slip)> {
        let Some(schema) = self.schema else {
            return self.mend_by_document(tokens);
        };
        let Err(stop) = Self::schema_at(schema, tokens) else {
            return self.mend_by_document(tokens);
        };
        let (before, rest) = tokens.split_at_checked(stop.at)?;
        let (token, after) = rest.split_first()?;
        match stop.parent {
            Schema::List(_) => self
                .element(before, token, after)
                .or_else(|| self.place(tokens, &stop)),
            Schema::Struct(_) => Self::dotted(stop.parent, before, token, after)
                .or_else(|| self.spelling(&stop, before, token, after))
                .or_else(|| self.place(tokens, &stop))
                .or_else(|| self.without_a_part(tokens, &stop)),
            // Below a scalar: of a map's value, the slash belongs to the key.
            _ => {
                let (key, map) = before.split_last()?;
                let of_map = matches!(Self::schema_at(schema, map), Ok(Schema::Map(_)));
                let key = std::iter::once(key)
                    .chain(rest)
                    .cloned()
                    .collect::<Vec<_>>()
                    .join("/");
                // The end of labels['example.com/team'], whose start was taken off at its bracket.
                let key = ["']", "\"]"]
                    .iter()
                    .find_map(|end| key.strip_suffix(end))
                    .unwrap_or(&key);
                of_map.then(|| (with(map, [key.to_owned()]), Slip::EscapedSlash))
            }
        }
    }

    /// `spec.nodeSelector.gpu`, `containers[0]`: dots and brackets where slashes should stand.
    fn dotted(
        parent: &'static Schema,
        before: &[String],
        token: &str,
        after: &[String],
    ) -> Option<(Vec<String>, Slip)> {
        let mut rest = token;
        let mut schema = Some(parent);
        let mut steps: Vec<String> = Vec::new();
        while !rest.is_empty() {
            // Behind a map everything is one key: labels.example.com
            if let Some(Schema::Map(_)) = schema {
                let key = rest.trim_start_matches('[').trim_end_matches(']');
                steps.push(key.trim_matches(['\'', '"']).to_owned());
                break;
            }
            let (step, left) = match rest.strip_prefix('[') {
                Some(inner) => inner.split_once(']')?,
                None => rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len())),
            };
            let step = step.trim_matches(['\'', '"']);
            rest = left.strip_prefix('.').unwrap_or(left);
            schema = schema.and_then(|schema| match schema {
                Schema::List(element) => Some(&**element),
                other => other.field(step),
            });
            steps.push(step.to_owned());
        }
        (steps.len() > 1 && steps.iter().all(|step| !step.is_empty())).then(|| {
            (
                with(before, steps.into_iter().chain(after.iter().cloned())),
                Slip::Slashes,
            )
        })
    }

    /// A token that is no index of a list.
    fn element(&self, list: &[String], token: &str, after: &[String]) -> Option<(Vec<String>, Slip)> {
        let found = |index: usize, slip| {
            let tokens = std::iter::once(index.to_string()).chain(after.iter().cloned());
            Some((with(list, tokens), slip))
        };
        if token == "-" {
            let only_dashes = after.iter().all(|token| token == "-");
            return only_dashes.then(|| (with(list, ["-".to_owned()]), Slip::AfterDash));
        }
        let Stands::List(length) = self.stands(list) else {
            return None;
        };
        if let Some(back) = token.strip_prefix('-').and_then(index) {
            return found(length.checked_sub(back.max(1))?, Slip::NegativeIndex);
        }
        let mut keys = self.keys(list)?;
        let place = keys.len();
        keys.extend([Key::Index(0), Key::Name("name")]);
        let named = (0..length.min(LOOKED_AT)).find(|index| {
            if let Some(key) = keys.get_mut(place) {
                *key = Key::Index(*index);
            }
            self.document.text(&keys) == Some(token)
        });
        found(named?, Slip::ElementName)
    }

    /// A name of the same parent that is spelled almost so.
    fn spelling(
        &self,
        stop: &Stop,
        before: &[String],
        token: &str,
        after: &[String],
    ) -> Option<(Vec<String>, Slip)> {
        let fields = stop.parent.fields().iter();
        let fits = fields.filter(|(_, schema)| match Self::schema_at(schema, after) {
            Ok(end) => self.wanted.kind.is_none_or(|kind| end.takes(kind)),
            // Another slip follows.
            Err(_) => true,
        });
        let name = nearest(token, fits.map(|(name, _)| *name))?;
        let tokens = std::iter::once(name.to_owned()).chain(after.iter().cloned());
        Some((with(before, tokens), Slip::Spelling))
    }

    /// The nearest other place that has the field.
    fn place(&self, tokens: &[String], stop: &Stop) -> Option<(Vec<String>, Slip)> {
        let root = self.schema?;
        let (name, after) = tokens.get(stop.at..)?.split_first()?;
        let mut search = Search {
            ask: self,
            name,
            after,
            up: 0,
            found: Vec::new(),
        };
        for end in (0..=stop.at).rev() {
            let here = tokens.get(..end)?;
            let Ok(schema) = Self::schema_at(root, here) else {
                continue;
            };
            search.below(schema, &mut here.to_vec(), search.up, 0, tokens.get(end));
            // An element and its list count as one level.
            search.up += usize::from(matches!(schema, Schema::Struct(_)));
        }
        let best = search.found.iter().map(Found::rank).min()?;
        search.found.retain(|found| found.rank() == best);
        // The container that CoCalc's users work in comes before the others.
        let container = |found: &&Found| found.tokens.get(1).is_some_and(|list| list == "containers");
        let found = match search.found.as_slice() {
            [only] => only,
            several if several.iter().all(|found| is_container_list(found.tokens.get(1))) => {
                several.iter().find(container)?
            }
            // Two places are as near: there is nothing to advise.
            _ => return None,
        };
        Some((found.tokens.clone(), Slip::Place))
    }

    /// The tokens without the part that a Pod does not have: that of a Deployment, or one level too many.
    fn without_a_part(&self, tokens: &[String], stop: &Stop) -> Option<(Vec<String>, Slip)> {
        let root = self.schema?;
        for from in stop.at + 1..tokens.len() {
            let kept = tokens.get(from..)?;
            for end in (0..=stop.at).rev() {
                let parents = tokens.get(..end)?;
                let Ok(schema @ Schema::Struct(_)) = Self::schema_at(root, parents) else {
                    continue;
                };
                let mended = with(parents, kept.iter().cloned());
                if schema.field(kept.first()?).is_some() && self.is_allowed(&mended) {
                    let dropped = pointer(tokens.get(..=stop.at)?);
                    return Some((mended, Slip::NotOfAPod(dropped)));
                }
            }
        }
        None
    }

    /// What stands in the document says which names there are.
    fn mend_by_document(&self, tokens: &[String]) -> Option<(Vec<String>, Slip)> {
        for (at, token) in tokens.iter().enumerate() {
            let (before, after) = (tokens.get(..at)?, tokens.get(at + 1..)?);
            match self.stands(before) {
                Stands::Map => {
                    let is_last = after.is_empty();
                    let here = tokens.get(..=at)?;
                    if self.stands(here) != Stands::Nothing || is_last && !self.wanted.must_exist {
                        continue;
                    }
                    let keys = self.keys(before)?;
                    let names = self.document.names(&keys);
                    let shown = names.iter().take(LOOKED_AT).map(String::as_str);
                    let name = nearest(token, shown)?;
                    // An unset field of a Pod is no slip for another one.
                    if let Some(schema) = self.schema
                        && !matches!(Self::schema_at(schema, before), Ok(Schema::Map(_)))
                    {
                        return None;
                    }
                    let tokens = std::iter::once(name.to_owned()).chain(after.iter().cloned());
                    return Some((with(before, tokens), Slip::Spelling));
                }
                Stands::List(_) if token == "-" && after.is_empty() => return None,
                Stands::List(_) if index(token).is_some() => {}
                Stands::List(_) => return self.element(before, token, after),
                Stands::Nothing | Stands::Scalar => return None,
            }
        }
        None
    }
}

fn with(before: &[String], tokens: impl IntoIterator<Item = String>) -> Vec<String> {
    before.iter().cloned().chain(tokens).collect()
}

fn is_container_list(name: Option<&String>) -> bool {
    name.is_some_and(|name| matches!(&**name, "containers" | "initContainers"))
}

/// Searches the schema for a field by its name.
///
/// A place costs as many levels as one has to go up and down to reach it, and one more for a struct that is not
/// there yet. Lists are entered where they have an element; of several, only containers, whose first one counts.
struct Search<'a> {
    ask: &'a Ask<'a>,
    name: &'a str,
    after: &'a [String],
    /// How many levels were gone up.
    up: usize,
    found: Vec<Found>,
}

struct Found {
    tokens: Vec<String>,
    cost: usize,
    /// How many levels above the place that was written the two ways part.
    up: usize,
    /// How many structs on the way are not there.
    missing: usize,
}

impl Found {
    /// The least of all is meant.
    fn rank(&self) -> (usize, usize, usize) {
        (self.cost, self.up, self.missing)
    }
}

impl Search<'_> {
    fn below(
        &mut self,
        schema: &'static Schema,
        at: &mut Vec<String>,
        cost: usize,
        missing: usize,
        not: Option<&String>,
    ) {
        if cost > FARTHEST {
            return;
        }
        match schema {
            Schema::Struct(fields) => {
                // A volume has one type, and one that is there already is the one that is meant.
                let of_volume = at.len() == 3 && at.get(1).is_some_and(|list| list == "volumes");
                let has_type = of_volume
                    && fields.iter().any(|(name, _)| {
                        at.push((*name).to_owned());
                        let stands = self.ask.stands(at);
                        at.pop();
                        *name != self.name && stands == Stands::Map
                    });
                for (name, field) in fields.iter() {
                    // The API server writes these itself, or refuses them.
                    if not.is_some_and(|not| not == name)
                        || matches!(*name, "status" | "ephemeralContainers" | "managedFields")
                    {
                        continue;
                    }
                    at.push((*name).to_owned());
                    if *name == self.name {
                        let tokens = with(at, self.after.iter().cloned());
                        if self.ask.is_allowed(&tokens) {
                            let up = self.up;
                            self.found.push(Found {
                                tokens,
                                cost,
                                up,
                                missing,
                            });
                        }
                    } else {
                        let is_there = self.ask.stands(at) != Stands::Nothing;
                        let may_be_made = missing == 0 && !has_type && (!of_volume || self.up == 0);
                        match field {
                            Schema::List(_) if is_there => self.below(field, at, cost + 1, missing, None),
                            Schema::Struct(_) if is_there => self.below(field, at, cost + 1, missing, None),
                            Schema::Struct(_) if may_be_made => {
                                self.below(field, at, cost + 2, missing + 1, None);
                            }
                            _ => {}
                        }
                    }
                    at.pop();
                }
            }
            Schema::List(element) => {
                let Stands::List(length) = self.ask.stands(at) else {
                    return;
                };
                let first_counts = is_container_list(at.last());
                if length == 1 || length > 1 && first_counts {
                    at.push("0".to_owned());
                    self.below(element, at, cost, missing, None);
                    at.pop();
                }
            }
            _ => {}
        }
    }
}

/// The name that is spelled almost like this one: but for its case, `_` and `-`, or with as few wrong letters as
/// one may type.
pub(crate) fn nearest<'n>(wanted: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let plain = |name: &str| name.replace(['_', '-', ' '], "").to_lowercase();
    let own = plain(wanted);
    let most = match own.len() {
        0..=2 => 0,
        3..=5 => 1,
        6..=9 => 2,
        10..=60 => 3,
        _ => return None,
    };
    names
        .filter(|name| *name != wanted && name.len() <= wanted.len() + 8)
        .map(|name| (strsim::osa_distance(&own, &plain(name)), name))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, name)| name)
}
