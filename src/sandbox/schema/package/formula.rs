//! Formulas, as far as the package uses them.
//!
//! A formula is parsed, the names in it are taken out, and the formula that
//! the sandbox acts like is written with them and parsed too: only if both are
//! the same tree is it taken. Blanks do not matter; all else does.

use std::iter;

use super::Error;

/// What a formula consists of. Names may have dots: `Contract__r.Status`.
#[derive(Debug, PartialEq, Eq)]
enum Expression {
    Name(String),
    Text(String),
    Number(String),
    Call(String, Vec<Expression>),
    /// An operator between two or more: `a && b && c`.
    Infix(&'static str, Vec<Expression>),
}

use Expression::{Call, Infix, Name, Number, Text};

/// What a validation rule does.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// Refuses an update that lowers the field.
    NotOlder { field: String },
    /// Refuses a new record, or a change of these fields, below such a status.
    Locked {
        permission: String,
        status: String,
        value: String,
        changed: Vec<String>,
    },
}

/// The two fields of `A - B`.
pub(super) fn difference(formula: &str) -> Result<(String, String), Error> {
    match parse(formula)? {
        Infix("-", terms) => match <[Expression; 2]>::try_from(terms) {
            Ok([Name(minuend), Name(subtrahend)]) => Ok((minuend, subtrahend)),
            _ => Err(refuse(formula)),
        },
        _ => Err(refuse(formula)),
    }
}

/// The condition of a rule.
pub(super) fn condition(formula: &str) -> Result<Condition, Error> {
    let tree = parse(formula)?;
    let [not_older, locked] = [not_older(&tree), locked(&tree)];
    for condition in [not_older, locked].into_iter().flatten() {
        if parse(&condition.formula())? == tree {
            return Ok(condition);
        }
    }
    Err(refuse(formula))
}

impl Condition {
    /// How it is written.
    fn formula(&self) -> String {
        match self {
            Self::NotOlder { field } => format!(
                "NOT(ISNEW()) && BLANKVALUE({field}, 0) < BLANKVALUE(PRIORVALUE({field}), 0)"
            ),
            Self::Locked {
                permission,
                status,
                value,
                changed,
            } => {
                let changed = changed.iter().map(|field| format!("ISCHANGED({field})"));
                let touched: Vec<String> =
                    iter::once("ISNEW()".to_owned()).chain(changed).collect();
                format!(
                    "NOT($Permission.{permission}) && ISPICKVAL({status}, \"{value}\") && ({})",
                    touched.join(" || ")
                )
            }
        }
    }
}

fn not_older(tree: &Expression) -> Option<Condition> {
    match calls(tree, "PRIORVALUE").as_slice() {
        [[Name(field)]] => Some(Condition::NotOlder {
            field: field.clone(),
        }),
        _ => None,
    }
}

fn locked(tree: &Expression) -> Option<Condition> {
    let [[Name(permission)]] = calls(tree, "NOT")[..] else {
        return None;
    };
    let [[Name(status), Text(value)]] = calls(tree, "ISPICKVAL")[..] else {
        return None;
    };
    let changed = calls(tree, "ISCHANGED").into_iter();
    Some(Condition::Locked {
        permission: permission.strip_prefix("$Permission.")?.to_owned(),
        status: status.clone(),
        value: value.clone(),
        changed: changed
            .map(|arguments| match arguments {
                [Name(field)] => Some(field.clone()),
                _ => None,
            })
            .collect::<Option<_>>()?,
    })
}

/// The arguments of every call of a function, in the order of the text.
fn calls<'a>(tree: &'a Expression, function: &str) -> Vec<&'a [Expression]> {
    match tree {
        Call(name, arguments) => {
            let own = (name == function).then_some(arguments.as_slice());
            let inner = arguments.iter().flat_map(|inner| calls(inner, function));
            own.into_iter().chain(inner).collect()
        }
        Infix(_, terms) => terms
            .iter()
            .flat_map(|term| calls(term, function))
            .collect(),
        Name(_) | Text(_) | Number(_) => Vec::new(),
    }
}

/// The operators, the loosest first.
const OPERATORS: [&str; 4] = ["||", "&&", "<", "-"];

fn parse(formula: &str) -> Result<Expression, Error> {
    let mut rest = formula;
    match infix(&mut rest, &OPERATORS) {
        Some(tree) if rest.trim().is_empty() => Ok(tree),
        _ => Err(refuse(formula)),
    }
}

fn refuse(formula: &str) -> Error {
    Error::Formula(formula.to_owned())
}

fn infix(rest: &mut &str, operators: &[&'static str]) -> Option<Expression> {
    let [operator, tighter @ ..] = operators else {
        return atom(rest);
    };
    let mut terms = vec![infix(rest, tighter)?];
    while take(rest, operator) {
        terms.push(infix(rest, tighter)?);
    }
    if terms.len() == 1 {
        terms.pop()
    } else {
        Some(Infix(operator, terms))
    }
}

fn atom(rest: &mut &str) -> Option<Expression> {
    if take(rest, "(") {
        let inner = infix(rest, &OPERATORS)?;
        return take(rest, ")").then_some(inner);
    }
    if take(rest, "\"") {
        let (text, after) = rest.split_once('"')?;
        *rest = after;
        // What a backslash means is not known here.
        return (!text.contains('\\')).then(|| Text(text.to_owned()));
    }
    let word = word(rest)?;
    if word.starts_with(|first: char| first.is_ascii_digit()) {
        return Some(Number(word.to_owned()));
    }
    if !take(rest, "(") {
        return Some(Name(word.to_owned()));
    }
    let mut arguments = Vec::new();
    while !take(rest, ")") {
        if !arguments.is_empty() && !take(rest, ",") {
            return None;
        }
        arguments.push(infix(rest, &OPERATORS)?);
    }
    Some(Call(word.to_owned(), arguments))
}

fn word<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let text = rest.trim_start();
    let end = text
        .find(|letter: char| !(letter.is_ascii_alphanumeric() || "_.$".contains(letter)))
        .unwrap_or(text.len());
    let (word, after) = text.split_at(end);
    *rest = after;
    (!word.is_empty()).then_some(word)
}

fn take(rest: &mut &str, token: &str) -> bool {
    match rest.trim_start().strip_prefix(token) {
        Some(after) => {
            *rest = after;
            true
        }
        None => false,
    }
}
