//! The safe JSON encoder: what arrives, and what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, HashMap};

use bugle_core::payload::{self, MAX_DEPTH, PayloadError};
use ordered_float::OrderedFloat;
use serde::ser::{Error as _, SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_bytes::{ByteBuf, Bytes};
use serde_json::value::RawValue;

/// A map with the entries in this order, duplicates included.
struct Entries<K, V>(Vec<(K, V)>);

impl<K: Serialize, V: Serialize> Serialize for Entries<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

fn one<K, V>(key: K, value: V) -> Entries<K, V> {
    Entries(vec![(key, value)])
}

fn encoded<T: Serialize + ?Sized>(payload: &T) -> String {
    String::from_utf8(payload::encode(payload).unwrap().to_vec()).unwrap()
}

fn refused<T: Serialize + ?Sized>(payload: &T) -> PayloadError {
    payload::encode(payload).unwrap_err()
}

/// The key as it stands in the object, decoded.
fn key<K: Serialize>(key: K) -> String {
    let map: BTreeMap<String, i32> = serde_json::from_str(&encoded(&one(key, 1))).unwrap();
    map.into_keys().next().unwrap()
}

/// The value as it stands in the object.
fn value<V: Serialize>(value: V) -> String {
    let json = encoded(&one("v", value));
    json.strip_prefix(r#"{"v":"#).unwrap().strip_suffix('}').unwrap().to_owned()
}

#[derive(Serialize, PartialEq, Eq, Hash)]
enum Shape {
    #[serde(rename = "foo")]
    Unit,
    Newtype(u8),
    Tuple(u8, char),
    Struct {
        side: u8,
    },
}

#[derive(Serialize)]
struct Newtype<T>(T);

#[derive(Serialize)]
struct UnitStruct;

#[derive(Serialize)]
struct Pair(i32, i32);

#[derive(Serialize)]
struct Point {
    x: i32,
}

#[test]
fn the_observed_cases_hold() {
    #[derive(Deserialize)]
    struct Cases {
        cases: Vec<Case>,
    }
    #[derive(Deserialize)]
    struct Case {
        rust: String,
        json: Option<String>,
        error: Option<String>,
    }

    #[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
    #[serde(untagged)]
    enum Alike {
        Number(i32),
        Text(&'static str),
    }

    let Cases { cases } = serde_json::from_str(include_str!("data/safe_json.json")).unwrap();
    assert!(!cases.is_empty());
    for Case { rust, json, error } in cases {
        let result = match rust.as_str() {
            r#"map {"a": (1, 2)}"# => payload::encode(&BTreeMap::from([("a", (1, 2))])),
            "map {(1, 2): 1}" => payload::encode(&BTreeMap::from([((1, 2), 1)])),
            "map {vec![1]: 1}" => payload::encode(&BTreeMap::from([(vec![1], 1)])),
            "map {1: 2}" => payload::encode(&BTreeMap::from([(1, 2)])),
            "map {1.5: 2} (an ordered-float key)" => {
                payload::encode(&BTreeMap::from([(OrderedFloat(1.5), 2)]))
            }
            r#"map {"k": vec![("a", 1), ("b", 2)]}"# => {
                payload::encode(&BTreeMap::from([("k", vec![("a", 1), ("b", 2)])]))
            }
            r#"map {"b": bytes [255, 0]}"# => {
                payload::encode(&BTreeMap::from([("b", Bytes::new(&[255, 0]))]))
            }
            r#"map {"n": None}"# => payload::encode(&BTreeMap::from([("n", None::<i32>)])),
            r#"map {"a": unit variant "foo"}"# => {
                payload::encode(&BTreeMap::from([("a", Shape::Unit)]))
            }
            r#"map {"i": 123456789012345678901234567890_i128}"# => {
                payload::encode(&BTreeMap::from([("i", 123456789012345678901234567890_i128)]))
            }
            r#"map {"u": "\u00e9\u2028</script>"}"# => {
                payload::encode(&BTreeMap::from([("u", "\u{e9}\u{2028}</script>")]))
            }
            r#"map {"c": "a\n\t\"\\\u0001"}"# => {
                payload::encode(&BTreeMap::from([("c", "a\n\t\"\\\u{1}")]))
            }
            "empty map" => payload::encode(&BTreeMap::<i32, i32>::new()),
            r#"two keys that encode alike, 1 and "1""# => {
                payload::encode(&BTreeMap::from([(Alike::Number(1), "x"), (Alike::Text("1"), "y")]))
            }
            other => panic!("a case that this test cannot build yet: {other}"),
        };
        match (json, error.as_deref()) {
            (Some(json), None) => assert_eq!(result.unwrap(), json, "{rust}"),
            (None, Some("duplicate key")) => {
                let duplicate = PayloadError::DuplicateKey { key: "1".to_owned() };
                assert_eq!(result, Err(duplicate), "{rust}");
            }
            expected => panic!("{rust}: {expected:?}"),
        }
    }
}

#[test]
fn any_plain_key_becomes_its_text() {
    for (found, expected) in [
        (key("a \"b\"\n"), "a \"b\"\n"),
        (key(-1_i8), "-1"),
        (key(u64::MAX), "18446744073709551615"),
        (key(i128::MIN), "-170141183460469231731687303715884105728"),
        (key(u128::MAX), "340282366920938463463374607431768211455"),
        (key(1.5_f64), "1.5"),
        (key(OrderedFloat(0.1_f32)), "0.1"),
        (key(2.0), "2.0"),
        (key(f64::NAN), "NaN"),
        (key(f32::NEG_INFINITY), "-Infinity"),
        (key(true), "true"),
        (key('"'), "\""),
        (key(Shape::Unit), "foo"),
        (key(None::<u8>), "null"),
        (key(Some(7)), "7"),
        (key(Newtype(Some(Newtype("in")))), "in"),
        (key(Bytes::new(b"text")), "text"),
        (key(Bytes::new(&[255, 0])), "<<255, 0>>"),
        (key(format_args!("{}\"", 1)), "1\""),
    ] {
        assert_eq!(found, expected);
    }
}

#[test]
fn a_list_as_key_becomes_its_json_with_spaces() {
    for (found, expected) in [
        (key((1, 2)), "[1, 2]"),
        (key(Pair(1, 2)), "[1, 2]"),
        (key(Vec::<u8>::new()), "[]"),
        (key([[1, 2], [3, 4]]), "[[1, 2], [3, 4]]"),
        (key(("a", 'b', Shape::Unit)), r#"["a", "b", "foo"]"#),
        (key(("a\"b\\", "c, d")), r#"["a\"b\\", "c, d"]"#),
        (key((None::<u8>, (), true, 1.5, f64::INFINITY)), r#"[null, null, true, 1.5, "Infinity"]"#),
        (key((Bytes::new(&[255, 0]), Some(Newtype(1)))), r#"["<<255, 0>>", 1]"#),
    ] {
        assert_eq!(found, expected);
    }
    assert_eq!(encoded(&one(("a", "\""), 1)), r#"{"[\"a\", \"\\\"\"]":1}"#);
}

#[test]
fn a_key_without_a_text_is_refused_by_its_name() {
    let map = || BTreeMap::from([(1, 1)]);
    for (error, expected) in [
        (refused(&one(map(), 1)), "a map"),
        (refused(&one(Point { x: 1 }, 1)), "the struct `Point`"),
        (refused(&one((), 1)), "the unit value `()`"),
        (refused(&one(UnitStruct, 1)), "the unit struct `UnitStruct`"),
        (refused(&one(Shape::Newtype(1), 1)), "the variant `Shape::Newtype`"),
        (refused(&one(Shape::Tuple(1, 'a'), 1)), "the variant `Shape::Tuple`"),
        (refused(&one(Shape::Struct { side: 1 }, 1)), "the variant `Shape::Struct`"),
        (refused(&one((1, map()), 1)), "a map"),
        (refused(&one([Some(Point { x: 1 })], 1)), "the struct `Point`"),
        (refused(&one([Shape::Newtype(1)], 1)), "the variant `Shape::Newtype`"),
        (refused(&one([Shape::Tuple(1, 'a')], 1)), "the variant `Shape::Tuple`"),
        (refused(&one([Shape::Struct { side: 1 }], 1)), "the variant `Shape::Struct`"),
    ] {
        assert_eq!(error, PayloadError::UnsupportedKey { found: expected.to_owned() });
        assert!(error.to_string().starts_with(&format!("{expected} cannot be a key")), "{error}");
    }
}

#[test]
fn any_value_arrives() {
    for (found, expected) in [
        (value(f64::NAN), r#""NaN""#),
        (value(f64::INFINITY), r#""Infinity""#),
        (value(f32::NEG_INFINITY), r#""-Infinity""#),
        (value(0.1_f32), "0.1"),
        (value(1e300), "1e+300"),
        (value(-0.0), "-0.0"),
        (value(i128::MIN), "-170141183460469231731687303715884105728"),
        (value(u128::MAX), "340282366920938463463374607431768211455"),
        (value('\u{1f980}'), "\"\u{1f980}\""),
        (value(()), "null"),
        (value(UnitStruct), "null"),
        (value(Some(Newtype(Some(1)))), "1"),
        (value(Bytes::new(b"caf\xc3\xa9")), "\"caf\u{e9}\""),
        (value(ByteBuf::from([128])), r#""<<128>>""#),
        (value(vec![255_u8, 0]), "[255,0]"),
        (value((1, ("a", [true]))), r#"[1,["a",[true]]]"#),
        (value(Pair(1, 2)), "[1,2]"),
        (value(Shape::Newtype(1)), r#"{"Newtype":1}"#),
        (value(Shape::Tuple(1, 'a')), r#"{"Tuple":[1,"a"]}"#),
        (value(Shape::Struct { side: 1 }), r#"{"Struct":{"side":1}}"#),
        (value(Point { x: 1 }), r#"{"x":1}"#),
        (value(format_args!("a{}\n", '"')), r#""a\"\n""#),
    ] {
        assert_eq!(found, expected);
    }
}

#[test]
fn only_an_object_is_a_payload() {
    let map = BTreeMap::from([(1, 2)]);
    for json in [
        encoded(&map),
        encoded(&Some(&map)),
        encoded(&Newtype(Some(Newtype(&map)))),
        encoded(&serde_json::json!({"1": 2})),
        encoded(&*RawValue::from_string(r#"{"1":2}"#.to_owned()).unwrap()),
        encoded::<dyn erased::Payload>(&map),
    ] {
        assert_eq!(json, r#"{"1":2}"#);
    }
    for (error, expected) in [
        (refused(&[1]), "a list"),
        (refused("text"), "a string"),
        (refused(Bytes::new(&[255])), "a string"),
        (refused(&Shape::Unit), "a string"),
        (refused(&f64::NAN), "a string"),
        (refused(&true), "a boolean"),
        (refused(&None::<Point>), "null"),
        (refused(&()), "null"),
        (refused(&-1), "a number"),
        (refused(&serde_json::json!([{}])), "a list"),
        (refused(&*RawValue::from_string(" [{}]".to_owned()).unwrap()), "a list"),
    ] {
        assert_eq!(error, PayloadError::NotAnObject { found: expected });
        assert!(error.to_string().contains(&format!("not {expected}: emit a map")), "{error}");
    }
}

/// A payload behind a reference whose size is not known.
mod erased {
    pub(crate) trait Payload {
        fn entries(&self) -> Vec<(i32, i32)>;
    }

    impl Payload for std::collections::BTreeMap<i32, i32> {
        fn entries(&self) -> Vec<(i32, i32)> {
            self.iter().map(|(key, value)| (*key, *value)).collect()
        }
    }

    impl serde::Serialize for dyn Payload {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_map(self.entries())
        }
    }
}

#[test]
fn what_serde_json_marks_as_raw_passes_verbatim() {
    // Not as serde_json would write it: nothing of it is read.
    let raw = RawValue::from_string(r#"{ "a" : [1.0,  1e2] }"#.to_owned()).unwrap();
    assert_eq!(value(&raw), r#"{ "a" : [1.0,  1e2] }"#);
    assert_eq!(encoded(&[("a", &raw), ("b", &raw)].into_iter().collect::<BTreeMap<_, _>>()), {
        r#"{"a":{ "a" : [1.0,  1e2] },"b":{ "a" : [1.0,  1e2] }}"#
    });

    // As serde_json's numbers are where a crate has turned its `arbitrary_precision` on.
    #[derive(Serialize)]
    #[serde(rename = "$serde_json::private::Number")]
    struct Number {
        #[serde(rename = "$serde_json::private::Number")]
        digits: &'static str,
    }
    assert_eq!(value([Number { digits: "1.000000000000000000001" }]), "[1.000000000000000000001]");
}

#[test]
fn two_keys_that_encode_alike_are_refused() {
    #[derive(Serialize)]
    struct Flattened {
        id: i32,
        #[serde(flatten)]
        rest: HashMap<String, i32>,
    }
    #[derive(Serialize)]
    #[serde(tag = "type")]
    enum Tagged {
        Event(Inner),
    }
    #[derive(Serialize)]
    struct Inner {
        id: i32,
        #[serde(rename = "type")]
        kind: &'static str,
    }
    let rest = HashMap::from([("id".to_owned(), 2)]);
    let tagged = Tagged::Event(Inner { id: 1, kind: "x" });
    for (error, expected) in [
        (refused(&Entries(vec![("b", 1), ("a", 2), ("b", 3)])), "b"),
        (refused(&Entries(vec![("a", 1), ("a", 2)])), "a"),
        (refused(&Entries(vec![(Some(1), 1), (None, 2), (None, 3)])), "null"),
        (refused(&Entries(vec![("\"\n", 1), ("\"\n", 2)])), "\"\n"),
        (refused(&Entries(vec![('1', one("x", 1)), ('1', one("x", 2))])), "1"),
        (refused(&Flattened { id: 1, rest }), "id"),
        (refused(&tagged), "type"),
        (refused(&one("deep", [one("deep", Entries(vec![("d", 1), ("d", 2)]))])), "d"),
    ] {
        assert_eq!(error, PayloadError::DuplicateKey { key: expected.to_owned() });
        assert!(error.to_string().contains(&format!("{expected:?}")), "{error}");
    }
    let long = "é".repeat(100);
    assert_eq!(
        refused(&Entries(vec![(&long, 1), (&long, 2)])),
        PayloadError::DuplicateKey { key: "é".repeat(64) }
    );
}

#[test]
fn the_same_key_in_different_maps_is_no_duplicate() {
    let inner = || Entries(vec![("b", 1), ("a", 2)]);
    let json = encoded(&Entries(vec![("b", inner()), ("a", inner())]));
    assert_eq!(json, r#"{"b":{"b":1,"a":2},"a":{"b":1,"a":2}}"#);
}

#[test]
fn duplicates_are_found_in_maps_of_any_size_and_order() {
    for size in [1, 2, 3, 15, 16, 17, 18, 100, 1000] {
        let ascending: Vec<_> = (0..size).map(|n| (format!("{n:04}"), n)).collect();
        let descending: Vec<_> = ascending.iter().cloned().rev().collect();
        for entries in [ascending, descending] {
            for (place, again) in [(0, 0), (size / 2, size - 1), (size, size / 3)] {
                let mut entries = entries.clone();
                assert_eq!(encoded(&Entries(entries.clone())).matches(':').count(), entries.len());
                let duplicate = entries[again].clone();
                entries.insert(place, duplicate.clone());
                let expected = PayloadError::DuplicateKey { key: duplicate.0 };
                assert_eq!(refused(&Entries(entries)), expected, "{size} {place} {again}");
            }
        }
    }
}

/// Lists in one another, with a key or not.
enum Nest {
    List(Box<Nest>),
    Some(Box<Nest>),
    Leaf,
}

impl Nest {
    fn lists(depth: usize) -> Self {
        (0..depth).fold(Self::Leaf, |nest, _| Self::List(Box::new(nest)))
    }

    fn wrappers(depth: usize) -> Self {
        (0..depth).fold(Self::Leaf, |nest, _| Self::Some(Box::new(nest)))
    }
}

impl Serialize for Nest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::List(inner) => serializer.collect_seq([inner]),
            Self::Some(inner) => serializer.serialize_some(inner),
            Self::Leaf => serializer.serialize_unit(),
        }
    }
}

#[test]
fn what_is_nested_too_deep_is_refused_before_the_stack_ends() {
    let deepest = encoded(&one("v", Nest::lists(MAX_DEPTH - 1)));
    assert!(serde_json::from_str::<serde_json::Value>(&deepest).is_ok());

    let too_deep = PayloadError::TooDeep { limit: MAX_DEPTH };
    assert!(too_deep.to_string().contains("127 levels"));
    assert_eq!(refused(&one("v", Nest::lists(MAX_DEPTH))), too_deep);
    assert_eq!(refused(&one(Nest::lists(5_000), 1)), too_deep);

    // Wrappers leave no trace in the JSON, but use up the stack as well.
    let too_deep = PayloadError::TooDeep { limit: 512 };
    assert_eq!(value(Nest::wrappers(512)), "null");
    assert_eq!(refused(&one("v", Nest::wrappers(513))), too_deep);
    assert_eq!(refused(&one(Nest::wrappers(5_000), 1)), too_deep);

    // A wrapper or list that is closed again counts no more.
    assert_eq!(value(vec![Nest::lists(100); 300]).len(), 300 * 204 + 301);
    assert_eq!(value(vec![Nest::wrappers(100); 300]).len(), 300 * 4 + 301);
    let variants: Vec<_> = (0..300).map(|n| Shape::Tuple(n as u8, 'a')).collect();
    assert!(payload::encode(&one("v", variants)).is_ok());
}

impl Clone for Nest {
    fn clone(&self) -> Self {
        match self {
            Self::List(inner) => Self::List(inner.clone()),
            Self::Some(inner) => Self::Some(inner.clone()),
            Self::Leaf => Self::Leaf,
        }
    }
}

/// A value that cannot be serialized.
struct Refusing;

impl Serialize for Refusing {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom("the lock is poisoned"))
    }
}

#[test]
fn the_error_of_a_part_is_handed_on() {
    let expected = PayloadError::Encode { message: "the lock is poisoned".to_owned() };
    assert!(expected.to_string().contains("the lock is poisoned"));
    for error in [
        refused(&Refusing),
        refused(&one("v", Refusing)),
        refused(&one(Refusing, 1)),
        refused(&one([Refusing], 1)),
        refused(&one("v", [Some(Newtype(Refusing))])),
    ] {
        assert_eq!(error, expected);
    }
}

#[test]
fn an_error_that_is_swallowed_on_the_way_is_not_emitted_as_half_a_json() {
    struct Lenient<K, V>(K, V);

    impl<K: Serialize, V: Serialize> Serialize for Lenient<K, V> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(None)?;
            for _ in 0..2 {
                let _ = map.serialize_entry(&self.0, &self.1);
            }
            map.end()
        }
    }

    let lenient = [
        refused(&Lenient("a", Refusing)),
        refused(&Lenient(Refusing, 1)),
        refused(&Lenient([Refusing], 1)),
        refused(&Lenient("v", Nest::lists(200))),
        refused(&one("v", [Lenient("v", Entries(vec![("d", 1), ("d", 2)]))])),
    ];
    for error in lenient {
        assert!(
            matches!(error, PayloadError::Encode { .. } | PayloadError::DuplicateKey { .. }),
            "{error}"
        );
    }
}

#[test]
fn inspect_writes_the_debug_text() {
    #[derive(Debug)]
    #[allow(dead_code)]
    struct Handle(&'static str);

    #[derive(Serialize)]
    struct Crash<'a> {
        #[serde(serialize_with = "payload::inspect")]
        handle: Handle,
        #[serde(serialize_with = "payload::inspect")]
        text: &'a str,
    }
    let crash = Crash { handle: Handle("a\n"), text: "é" };
    assert_eq!(encoded(&crash), r#"{"handle":"Handle(\"a\\n\")","text":"\"é\""}"#);
    // With any other serializer too.
    assert_eq!(serde_json::to_string(&crash).unwrap(), encoded(&crash));
}

#[test]
fn the_capacity_is_only_a_hint() {
    let payload = one("text", "x".repeat(1000));
    for capacity in [0, 1, 1012, 5000] {
        assert_eq!(
            payload::encode_with_capacity(&payload, capacity).unwrap(),
            payload::encode(&payload).unwrap()
        );
    }
}
