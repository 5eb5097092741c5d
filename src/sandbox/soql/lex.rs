//! From the text of a query to its tokens.

use rust_decimal::Decimal;
use winnow::combinator::{alt, delimited, preceded, repeat};
use winnow::prelude::*;
use winnow::stream::LocatingSlice;
use winnow::token::{any, none_of, one_of, take_while};

use super::super::value;
use super::Literal;

/// A token and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) at: usize,
    pub(super) text: String,
}

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// A name or a keyword, dots included.
    Word,
    Literal(Literal),
    /// A bracket, a comma or an operator.
    Sign,
}

type Input<'a> = LocatingSlice<&'a str>;

/// All tokens, or where the text stops making sense.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, usize> {
    let mut input = LocatingSlice::new(text);
    let mut tokens = Vec::new();
    loop {
        let blank: ModalResult<&str> =
            take_while(0.., |c: char| c.is_ascii_whitespace()).parse_next(&mut input);
        if blank.is_err() || input.is_empty() {
            return Ok(tokens);
        }
        let start = text.len() - input.len();
        match alt((word, string, dated, number, sign)).parse_next(&mut input) {
            Ok(kind) => {
                let end = text.len() - input.len();
                tokens.push(Token {
                    kind,
                    at: start,
                    text: text[start..end].to_owned(),
                });
            }
            Err(_) => return Err(start),
        }
    }
}

fn word(input: &mut Input<'_>) -> ModalResult<Kind> {
    let first = one_of(|c: char| c.is_ascii_alphabetic());
    let rest = take_while(0.., |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '_' | '.')
    });
    (first, rest).value(Kind::Word).parse_next(input)
}

/// A text in single quotes with the escapes of the SOQL guide; any other
/// backslash is an error.
fn string(input: &mut Input<'_>) -> ModalResult<Kind> {
    let characters = repeat(
        0..,
        alt((
            preceded('\\', escape),
            none_of(['\'', '\\']).map(String::from),
        )),
    );
    let text = characters.fold(String::new, |text, part: String| text + &part);
    delimited('\'', text, '\'')
        .map(|text| Kind::Literal(Literal::Text(text)))
        .parse_next(input)
}

fn escape(input: &mut Input<'_>) -> ModalResult<String> {
    let unicode = preceded('u', take_while(4, |c: char| c.is_ascii_hexdigit())).verify_map(|hex| {
        u32::from_str_radix(hex, 16)
            .ok()
            .and_then(char::from_u32)
            .map(String::from)
    });
    let simple = any.verify_map(|c: char| {
        Some(
            match c {
                'n' | 'N' => "\n",
                'r' | 'R' => "\r",
                't' | 'T' => "\t",
                'b' | 'B' => "\u{8}",
                'f' | 'F' => "\u{c}",
                '"' => "\"",
                '\'' => "'",
                // Kept apart from a plain one: LIKE has to know.
                '\\' => "\\\\",
                '_' => "\\_",
                '%' => "\\%",
                _ => return None,
            }
            .to_owned(),
        )
    });
    alt((unicode, simple)).parse_next(input)
}

/// A date or a moment, which SOQL writes without quotes.
fn dated(input: &mut Input<'_>) -> ModalResult<Kind> {
    let digits = |count: usize| take_while(count, |c: char| c.is_ascii_digit());
    let rest = take_while(0.., |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, ':' | '.' | '+' | '-')
    });
    (digits(4), '-', digits(2), '-', digits(2), rest)
        .take()
        .verify_map(|text: &str| {
            let literal = match text.len() {
                10 => Literal::Date(value::parse_date(text)?),
                _ => Literal::Moment(value::parse_moment(text)?),
            };
            Some(Kind::Literal(literal))
        })
        .parse_next(input)
}

fn number(input: &mut Input<'_>) -> ModalResult<Kind> {
    take_while(1.., |c: char| {
        c.is_ascii_digit() || matches!(c, '.' | '-' | '+')
    })
    .verify_map(|text: &str| Decimal::from_str_exact(text).ok())
    .map(|number| Kind::Literal(Literal::Number(number)))
    .parse_next(input)
}

fn sign(input: &mut Input<'_>) -> ModalResult<Kind> {
    let two = alt(("!=", "<>", "<=", ">="));
    alt((two, "=", "<", ">", "(", ")", ","))
        .value(Kind::Sign)
        .parse_next(input)
}
