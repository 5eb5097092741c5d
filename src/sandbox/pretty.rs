//! `X-PrettyPrint: 1`: JSON with the blanks that Salesforce puts into it.

/// Lays out compact JSON: objects over lines, lists along one.
pub(crate) fn pretty(compact: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(compact.len() * 2);
    let mut depth = 0_usize;
    let mut in_text = false;
    let mut escaped = false;
    // For each open bracket, whether it is an object's.
    let mut objects: Vec<bool> = Vec::new();
    let mut previous = b' ';
    let newline = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.extend(std::iter::repeat_n(b' ', depth * 2));
    };
    for byte in compact.iter().copied() {
        if in_text {
            out.push(byte);
            in_text = byte != b'"' || escaped;
            escaped = byte == b'\\' && !escaped;
            previous = byte;
            continue;
        }
        let opened = matches!(previous, b'{' | b'[') && !objects.is_empty();
        if opened && !matches!(byte, b'}' | b']') {
            match objects.last() {
                Some(true) => newline(&mut out, depth),
                _ => out.push(b' '),
            }
        }
        match byte {
            b'{' => {
                out.push(byte);
                objects.push(true);
                depth += 1;
            }
            b'[' => {
                out.push(byte);
                objects.push(false);
            }
            b'}' => {
                depth = depth.saturating_sub(1);
                objects.pop();
                if previous == b'{' {
                    out.push(b' ')
                } else {
                    newline(&mut out, depth)
                }
                out.push(byte);
            }
            b']' => {
                objects.pop();
                out.extend_from_slice(b" ]");
            }
            b',' if objects.last() == Some(&true) => {
                out.push(byte);
                newline(&mut out, depth);
            }
            b',' => out.extend_from_slice(b", "),
            b':' => out.extend_from_slice(b" : "),
            other => {
                in_text = other == b'"';
                out.push(other);
            }
        }
        previous = byte;
        // A text that begins is no bracket.
        if in_text {
            escaped = false;
            previous = b'"';
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_the_recorded_one() {
        for (compact, laid_out) in [
            (
                r#"[{"id":"0015500001QdZPKAA3","success":true,"errors":[]}]"#,
                "[ {\n  \"id\" : \"0015500001QdZPKAA3\",\n  \"success\" : true,\n  \"errors\" : [ ]\n} ]",
            ),
            (
                r#"{"a":{"b":"x,{[\"y:"},"c":[1,2]}"#,
                "{\n  \"a\" : {\n    \"b\" : \"x,{[\\\"y:\"\n  },\n  \"c\" : [ 1, 2 ]\n}",
            ),
            (
                r#"[{"a":1},{"a":2}]"#,
                "[ {\n  \"a\" : 1\n}, {\n  \"a\" : 2\n} ]",
            ),
            ("{}", "{ }"),
        ] {
            assert_eq!(
                String::from_utf8(pretty(compact.as_bytes())).unwrap(),
                laid_out
            );
        }
    }
}
