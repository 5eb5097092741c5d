//! `X-PrettyPrint: 1`: JSON with the blanks that Salesforce puts into it.

/// Lays out compact JSON: objects over lines, lists along one.
pub(crate) fn pretty(compact: &[u8]) -> Vec<u8> {
    let mut layout = Layout::default();
    let mut in_text = false;
    let mut escaped = false;
    for byte in compact.iter().copied() {
        if in_text {
            layout.out.push(byte);
            in_text = byte != b'"' || escaped;
            escaped = byte == b'\\' && !escaped;
        } else {
            layout.sign(byte);
            in_text = byte == b'"';
        }
    }
    layout.out
}

#[derive(Default)]
struct Layout {
    out: Vec<u8>,
    /// For each open bracket, whether it is an object's.
    open: Vec<bool>,
    /// The last bracket has just been opened, and nothing stands in it.
    empty: bool,
}

impl Layout {
    /// One byte outside of texts.
    fn sign(&mut self, byte: u8) {
        let was_empty = std::mem::replace(&mut self.empty, matches!(byte, b'{' | b'['));
        let closing = matches!(byte, b'}' | b']');
        if was_empty && !closing {
            self.separate();
        }
        match byte {
            b'{' | b'[' => {
                self.out.push(byte);
                self.open.push(byte == b'{');
            }
            b'}' | b']' => {
                let object = self.open.pop() == Some(true);
                if object && !was_empty {
                    self.newline();
                } else {
                    self.out.push(b' ');
                }
                self.out.push(byte);
            }
            b',' => {
                self.out.push(byte);
                self.separate();
            }
            b':' => self.out.extend_from_slice(b" : "),
            other => self.out.push(other),
        }
    }

    /// Before a member: a line of its own in an object, a blank in a list.
    fn separate(&mut self) {
        match self.open.last() {
            Some(true) => self.newline(),
            _ => self.out.push(b' '),
        }
    }

    fn newline(&mut self) {
        let depth = self.open.iter().filter(|object| **object).count();
        self.out.push(b'\n');
        self.out.extend(std::iter::repeat_n(b' ', depth * 2));
    }
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
