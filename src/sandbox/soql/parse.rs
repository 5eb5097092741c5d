//! From tokens to a query. What does not fit is named: `unexpected token`.

use super::super::refusal::Refusal;
use super::lex::{self, Kind, Token};
use super::{Condition, Item, Literal, Name, Operator, Order, Query};

/// Longest query (SOQL guide, limits).
const MAX_LENGTH: usize = 100_000;
/// Brackets inside brackets; more would overflow the stack.
const MAX_DEPTH: usize = 50;

/// Reads one query.
pub(crate) fn parse(text: &str) -> Result<Query, Refusal> {
    if text.len() > MAX_LENGTH {
        return Err(Refusal::new(
            "QUERY_TOO_COMPLICATED",
            "SOQL statements cannot be longer than 100000 characters.",
        ));
    }
    let tokens = lex::tokens(text).map_err(|at| {
        let rest: String = text[at..]
            .chars()
            .take_while(|c| !c.is_whitespace())
            .take(40)
            .collect();
        malformed(&format!("unexpected token: '{rest}'"))
    })?;
    let mut parser = Parser {
        tokens: &tokens,
        next: 0,
        depth: 0,
    };
    let query = parser.query()?;
    match parser.peek() {
        None => Ok(query),
        Some(_) => Err(parser.unexpected()),
    }
}

fn malformed(message: &str) -> Refusal {
    Refusal::new("MALFORMED_QUERY", message)
}

struct Parser<'t> {
    tokens: &'t [Token],
    next: usize,
    depth: usize,
}

type Parsed<T> = Result<T, Refusal>;

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next)
    }

    fn unexpected(&self) -> Refusal {
        match self.peek() {
            Some(token) => malformed(&format!("unexpected token: '{}'", token.text)),
            None => malformed("unexpected token: '<EOF>'"),
        }
    }

    fn is(&self, word: &str) -> bool {
        self.peek().is_some_and(|token| {
            !matches!(token.kind, Kind::Literal(_)) && token.text.eq_ignore_ascii_case(word)
        })
    }

    /// Takes the next token if it is this keyword or sign.
    fn take(&mut self, word: &str) -> bool {
        let found = self.is(word);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, word: &str) -> Parsed<()> {
        if self.take(word) {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    fn name(&mut self) -> Parsed<Name> {
        match self.peek() {
            Some(token) if token.kind == Kind::Word && !is_keyword(&token.text) => {
                let parts: Vec<String> = token.text.split('.').map(str::to_owned).collect();
                if parts.iter().any(String::is_empty) {
                    return Err(self.unexpected());
                }
                let name = Name {
                    parts,
                    at: token.at,
                };
                self.next += 1;
                Ok(name)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn deeper(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Refusal::new(
                "QUERY_TOO_COMPLICATED",
                "Query is either selecting too many fields or the filter conditions are too complicated.",
            ));
        }
        Ok(())
    }

    fn query(&mut self) -> Parsed<Query> {
        self.deeper()?;
        self.expect("SELECT")?;
        let mut items = vec![self.item()?];
        while self.take(",") {
            items.push(self.item()?);
        }
        self.expect("FROM")?;
        let from = self.name()?;
        let filter = if self.take("WHERE") {
            Some(self.any_of()?)
        } else {
            None
        };
        let order = if self.take("ORDER") {
            self.order()?
        } else {
            Vec::new()
        };
        let limit = if self.take("LIMIT") {
            Some(self.count()?)
        } else {
            None
        };
        let offset = if self.take("OFFSET") {
            self.count()?
        } else {
            0
        };
        self.depth -= 1;
        Ok(Query {
            items,
            from,
            filter,
            order,
            limit,
            offset,
        })
    }

    fn item(&mut self) -> Parsed<Item> {
        if self.take("(") {
            let query = self.query()?;
            self.expect(")")?;
            return Ok(Item::Children(Box::new(query)));
        }
        let counts = self.is("COUNT")
            && self
                .tokens
                .get(self.next + 1)
                .is_some_and(|token| token.text == "(");
        if !counts {
            return Ok(Item::Field(self.name()?));
        }
        self.next += 2;
        let field = if self.is(")") {
            None
        } else {
            Some(self.name()?)
        };
        self.expect(")")?;
        let alias = match self.peek() {
            Some(token) if token.kind == Kind::Word && !is_keyword(&token.text) => {
                Some(token.text.clone())
            }
            _ => None,
        };
        self.next += usize::from(alias.is_some());
        Ok(Item::Count(field, alias))
    }

    fn order(&mut self) -> Parsed<Vec<Order>> {
        self.expect("BY")?;
        let mut order = Vec::new();
        loop {
            let field = self.name()?;
            let descending = self.take("DESC") || {
                self.take("ASC");
                false
            };
            let nulls_last = self.take("NULLS") && {
                let last = self.take("LAST");
                if !last {
                    self.expect("FIRST")?;
                }
                last
            };
            order.push(Order {
                field,
                descending,
                nulls_last,
            });
            if !self.take(",") {
                return Ok(order);
            }
        }
    }

    fn count(&mut self) -> Parsed<usize> {
        let count = match self.peek().map(|token| &token.kind) {
            Some(Kind::Literal(Literal::Number(number))) => number.to_string().parse().ok(),
            _ => None,
        };
        let count = count.ok_or_else(|| self.unexpected())?;
        self.next += 1;
        Ok(count)
    }

    /// `a OR b`. AND and OR may not stand side by side without brackets.
    fn any_of(&mut self) -> Parsed<Condition> {
        let first = self.term()?;
        let word = if self.is("AND") { "AND" } else { "OR" };
        let mut terms = vec![first];
        while self.take(word) {
            terms.push(self.term()?);
        }
        if self.is("AND") || self.is("OR") {
            return Err(self.unexpected());
        }
        if terms.len() == 1 {
            return Ok(terms.remove(0));
        }
        Ok(if word == "AND" {
            Condition::And(terms)
        } else {
            Condition::Or(terms)
        })
    }

    fn term(&mut self) -> Parsed<Condition> {
        self.deeper()?;
        let term = if self.take("NOT") {
            Condition::Not(Box::new(self.term()?))
        } else if self.take("(") {
            let inner = self.any_of()?;
            self.expect(")")?;
            inner
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(term)
    }

    fn comparison(&mut self) -> Parsed<Condition> {
        let field = self.name()?;
        let negated = self.take("NOT");
        if negated || self.is("IN") {
            self.expect("IN")?;
            return Ok(Condition::In {
                field,
                negated,
                values: self.list()?,
            });
        }
        let operators = [
            ("=", Operator::Equal),
            ("!=", Operator::NotEqual),
            ("<>", Operator::NotEqual),
            ("<=", Operator::LessOrEqual),
            (">=", Operator::GreaterOrEqual),
            ("<", Operator::Less),
            (">", Operator::Greater),
            ("LIKE", Operator::Like),
        ];
        let operator = operators.into_iter().find(|(sign, _)| self.is(sign));
        let (_, operator) = operator.ok_or_else(|| self.unexpected())?;
        self.next += 1;
        let value = self.literal()?;
        // Outside of LIKE, an escaped wildcard is the character itself.
        let value = match value {
            Literal::Text(text) if operator != Operator::Like => Literal::Text(unescape(&text)),
            other => other,
        };
        Ok(Condition::Compare {
            field,
            operator,
            value,
        })
    }

    fn list(&mut self) -> Parsed<Vec<Literal>> {
        self.expect("(")?;
        let mut values = Vec::new();
        loop {
            values.push(match self.literal()? {
                Literal::Text(text) => Literal::Text(unescape(&text)),
                other => other,
            });
            if !self.take(",") {
                self.expect(")")?;
                return Ok(values);
            }
        }
    }

    fn literal(&mut self) -> Parsed<Literal> {
        let literal = match self.peek() {
            Some(Token {
                kind: Kind::Literal(literal),
                ..
            }) => Some(literal.clone()),
            Some(token) => match token.text.to_ascii_lowercase().as_str() {
                "null" => Some(Literal::Null),
                "true" => Some(Literal::Flag(true)),
                "false" => Some(Literal::Flag(false)),
                _ => None,
            },
            None => None,
        };
        let literal = literal.ok_or_else(|| self.unexpected())?;
        self.next += 1;
        Ok(literal)
    }
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.extend(characters.next()),
            other => plain.push(other),
        }
    }
    plain
}

fn is_keyword(word: &str) -> bool {
    [
        "SELECT", "FROM", "WHERE", "AND", "OR", "NOT", "IN", "LIKE", "ORDER", "LIMIT", "OFFSET",
        "NULLS", "ASC", "DESC",
    ]
    .iter()
    .any(|keyword| word.eq_ignore_ascii_case(keyword))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> (String, String) {
        let refusal = parse(text).unwrap_err();
        (refusal.code.into_owned(), refusal.message)
    }

    #[test]
    fn a_token_out_of_place_is_named() {
        for (text, token) in [
            ("SELECT Id FORM Usage__c", "FORM"),
            ("SELECT Id FROM Usage__c WHERE", "<EOF>"),
            ("SELECT Id, FROM Usage__c", "FROM"),
            (
                "SELECT Id FROM Usage__c WHERE a = 1 AND b = 2 OR c = 3",
                "OR",
            ),
            ("SELECT Id FROM Usage__c WHERE a = 'x' 'y'", "'y'"),
            ("SELECT Id FROM Usage__c WHERE a IN ()", ")"),
            ("SELECT Id FROM Usage__c LIMIT x", "x"),
            ("SELECT Id FROM Usage__c;", ";"),
        ] {
            assert_eq!(
                refusal(text),
                (
                    "MALFORMED_QUERY".into(),
                    format!("unexpected token: '{token}'")
                ),
                "{text}"
            );
        }
    }

    #[test]
    fn escapes_give_the_characters_they_stand_for() {
        let query = parse(r"SELECT Id FROM A WHERE n = 'O\'Neil \\ \u0041 50\%'").unwrap();

        let Some(Condition::Compare {
            value: Literal::Text(text),
            ..
        }) = query.filter
        else {
            panic!("a comparison");
        };
        assert_eq!(text, r"O'Neil \ A 50%");
        assert_eq!(
            refusal(r"SELECT Id FROM A WHERE n = 'a\q'").0,
            "MALFORMED_QUERY"
        );
    }

    #[test]
    fn endless_brackets_end_in_a_refusal() {
        let text = format!("SELECT Id FROM A WHERE {}a = 1", "(".repeat(10_000));

        assert_eq!(refusal(&text).0, "QUERY_TOO_COMPLICATED");
    }
}
