//! Whether a text is well-formed XML, as far as `malloc_info` needs it: elements, attributes, character data.

/// Fails with the place unless `text` is one element and all in it is closed. Returns the elements in the order in which they
/// start, each with its attributes.
pub(crate) fn elements(text: &str) -> Vec<(String, Vec<(String, String)>)> {
    let (mut rest, mut open, mut all) = (text.trim_start(), Vec::new(), Vec::new());
    while let Some(tag) = rest.strip_prefix('<') {
        let at = || format!("at {:?}", &rest[..rest.len().min(60)]);
        let (inner, after) = tag.split_once('>').unwrap_or_else(|| panic!("no '>' {}", at()));
        if let Some(name) = inner.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name.trim_end()), "closed what was not open {}", at());
        } else {
            let (inner, alone) = inner.strip_suffix('/').map_or((inner, false), |inner| (inner, true));
            let (name, attributes) = inner.split_once(char::is_whitespace).unwrap_or((inner, ""));
            assert!(is_name(name), "no name {}", at());
            assert!(all.is_empty() || !open.is_empty(), "a second root {}", at());
            all.push((
                name.to_owned(),
                parse_attributes(attributes).unwrap_or_else(|e| panic!("{e} {}", at())),
            ));
            if !alone {
                open.push(name.to_owned());
            }
        }
        let end = after.find('<').unwrap_or(after.len());
        let text = &after[..end];
        assert!(!text.contains('&') && !text.contains("]]>"), "text {text:?}");
        assert!(!open.is_empty() || text.trim().is_empty(), "text {text:?} outside the root");
        rest = &after[end..];
    }
    assert!(
        rest.is_empty() && open.is_empty() && !all.is_empty(),
        "not closed: {open:?}; left over: {rest:?}"
    );
    all
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}

fn parse_attributes(mut text: &str) -> Result<Vec<(String, String)>, &'static str> {
    let mut all: Vec<(String, String)> = Vec::new();
    loop {
        text = text.trim_start();
        if text.is_empty() {
            return Ok(all);
        }
        let (name, rest) = text.split_once("=\"").ok_or("an attribute without a value in quotes")?;
        let (value, rest) = rest.split_once('"').ok_or("a value without its second quote")?;
        if !is_name(name) || value.contains(['<', '&']) || all.iter().any(|(n, _)| n == name) {
            return Err("no attribute");
        }
        if !rest.is_empty() && !rest.starts_with(char::is_whitespace) {
            return Err("no space behind a value");
        }
        all.push((name.to_owned(), value.to_owned()));
        text = rest;
    }
}

#[test]
fn what_is_well_formed_passes() {
    let text = "<a version=\"1\">\n <b/> 5 <c x=\"2\" y=\"\"></c>\n</a>\n";
    let names: Vec<_> = elements(text).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(elements("<a x=\"1\"/>")[0].1, [("x".to_owned(), "1".to_owned())]);
}

#[test]
fn what_is_not_fails() {
    let bad = [
        "",
        "todo",
        "<a>",
        "</a>",
        "<a></b>",
        "<a><b></a></b>",
        "<a/><b/>",
        "<a/>x",
        "<a x=1/>",
        "<a x=\"1\"y=\"2\"/>",
        "<a x=\"1\" x=\"2\"/>",
        "<a x=\"<\"/>",
        "<a x=\"1/>",
        "<1/>",
        "<a>&</a>",
        "<a",
        "<a/><",
        "<a b/>",
    ];
    for text in bad {
        let parsed = std::panic::catch_unwind(|| elements(text));
        assert!(parsed.is_err(), "{text}");
    }
}
