//! Binding the names of a query to objects and columns, with the refusals
//! that Salesforce has for names that it does not know: an echo of the query,
//! a caret, the place, a sentence.

use std::sync::Arc;

use super::super::org::Session;
use super::super::refusal::Refusal;
use super::super::schema::{Column, Kind, Right};
use super::super::soql::{Condition, Item, Literal, Name, Operator, Query};
use super::filter::{Sample, Test};
use super::{Counting, Output, Path, Plan, Sort};

/// Characters of the query shown before and after the place of an error.
const ECHO: usize = 48;

/// SOQL guide, OFFSET.
const MAX_OFFSET: usize = 2000;

/// Binds a query for the user of the session.
pub(crate) fn bind(session: &Session<'_>, text: &str, query: &Query) -> Result<Plan, Refusal> {
    let binder = Binder { session, text };
    let name = query.from.parts.join(".");
    let object = session.readable(&name).map_err(|_unseen| {
        let sentence = format!(
            "sObject type '{name}' is not supported. If you are attempting to use a custom object, be sure to \
             append the '__c' after the entity name. Please reference your WSDL or the describe call for the \
             appropriate names."
        );
        binder.error("INVALID_TYPE", query.from.at, &sentence)
    })?;
    binder.query(object, query)
}

struct Binder<'s, 'o> {
    session: &'s Session<'o>,
    text: &'s str,
}

impl Binder<'_, '_> {
    fn error(&self, code: &'static str, at: usize, sentence: &str) -> Refusal {
        let from = (at.saturating_sub(ECHO)..=at)
            .find(|from| {
                self.text.is_char_boundary(*from)
                    && (*from == 0 || self.text[..*from].ends_with(' '))
            })
            .unwrap_or(at);
        let to = (at + ECHO..self.text.len())
            .find(|to| self.text.is_char_boundary(*to))
            .unwrap_or(self.text.len());
        let echo = self.text[from..to].replace(['\n', '\r', '\t'], " ");
        let caret = " ".repeat(self.text[from..at].chars().count());
        let row = self.text[..at].matches('\n').count() + 1;
        let column = self.text[..at]
            .chars()
            .rev()
            .take_while(|c| *c != '\n')
            .count()
            + 1;
        Refusal::new(
            code,
            format!("\n{echo}\n{caret}^\nERROR at Row:{row}:Column:{column}\n{sentence}"),
        )
    }

    fn no_column(&self, object: usize, name: &str, at: usize) -> Refusal {
        let entity = &self.session.schema.objects[object].name;
        let sentence = format!(
            "No such column '{name}' on entity '{entity}'. If you are attempting to use a custom field, be sure to \
             append the '__c' after the custom field name. Please reference your WSDL or the describe call for the \
             appropriate names."
        );
        self.error("INVALID_FIELD", at, &sentence)
    }

    fn query(&self, object: usize, query: &Query) -> Result<Plan, Refusal> {
        if query.offset > MAX_OFFSET {
            let message = "Maximum SOQL offset allowed is 2000";
            return Err(Refusal::new("NUMBER_OUTSIDE_VALID_RANGE", message));
        }
        let mut plan = Plan {
            object,
            output: Vec::new(),
            filter: None,
            order: Vec::new(),
            limit: query.limit,
            offset: query.offset,
            counting: None,
        };
        for item in &query.items {
            self.item(object, item, query.items.len(), &mut plan)?;
        }
        plan.filter = query
            .filter
            .as_ref()
            .map(|condition| self.condition(object, condition))
            .transpose()?;
        for order in &query.order {
            let path = self.path(object, &order.field)?;
            plan.order.push(Sort {
                path,
                descending: order.descending,
                nulls_last: order.nulls_last,
            });
        }
        Ok(plan)
    }

    fn item(
        &self,
        object: usize,
        item: &Item,
        items: usize,
        plan: &mut Plan,
    ) -> Result<(), Refusal> {
        match item {
            Item::Field(name) => self.output(object, &name.parts, name.at, &mut plan.output),
            Item::Count(..) if items > 1 => {
                let message = "Grouped query: COUNT stands alone in a query without GROUP BY";
                Err(Refusal::new("MALFORMED_QUERY", message))
            }
            Item::Count(None, _) => {
                plan.counting = Some(Counting::Rows);
                Ok(())
            }
            Item::Count(Some(name), alias) => {
                let alias = alias.clone().unwrap_or_else(|| "expr0".to_owned());
                plan.counting = Some(Counting::Values {
                    path: self.path(object, name)?,
                    alias,
                });
                Ok(())
            }
            Item::Children(query) => {
                plan.output.push(self.children(object, query)?);
                Ok(())
            }
        }
    }

    fn children(&self, object: usize, query: &Query) -> Result<Output, Refusal> {
        let name = query.from.parts.join(".");
        let may_read = |child| {
            self.session
                .schema
                .may(self.session.user, Right::Read, child)
        };
        let mut children = self.session.schema.children_of(object);
        let found = children.find(|(child, _, relationship)| {
            may_read(*child) && relationship.eq_ignore_ascii_case(&name)
        });
        let (child, field, name) = found.ok_or_else(|| {
            let sentence = format!(
                "Didn't understand relationship '{name}' in FROM part of query call. If you are \
                 attempting to use a custom relationship, be sure to append the '__r' after the \
                 custom relationship name. Please reference your WSDL or the describe call for the \
                 appropriate names."
            );
            self.error("INVALID_TYPE", query.from.at, &sentence)
        })?;
        let plan = Arc::new(self.query(child, query)?);
        if plan
            .output
            .iter()
            .any(|output| matches!(output, Output::Children { .. }))
        {
            let message = "Nesting of child queries is not supported here";
            return Err(Refusal::new("MALFORMED_QUERY", message));
        }
        Ok(Output::Children {
            name: name.to_owned(),
            field,
            plan,
        })
    }

    /// Adds a selected field; fields of one parent share one nested record.
    fn output(
        &self,
        object: usize,
        parts: &[String],
        at: usize,
        output: &mut Vec<Output>,
    ) -> Result<(), Refusal> {
        let definition = &self.session.schema.objects[object];
        let [relationship, rest @ ..] = parts else {
            return Ok(());
        };
        if rest.is_empty() {
            output.push(Output::Column(self.column(object, relationship, at)?));
            return Ok(());
        }
        if relationship.eq_ignore_ascii_case(&definition.name) {
            return self.output(object, rest, at, output);
        }
        let (field, target) = self.relationship(object, relationship, at)?;
        let Kind::Reference { relationship, .. } = &definition.fields[field].kind else {
            return Err(self.no_column(object, relationship, at));
        };
        let present = output.iter_mut().find_map(|output| match output {
            Output::Parent {
                field: same,
                output,
                ..
            } if *same == field => Some(output),
            _ => None,
        });
        if let Some(inner) = present {
            return self.output(target, rest, at, inner);
        }
        let mut inner = Vec::new();
        self.output(target, rest, at, &mut inner)?;
        output.push(Output::Parent {
            name: relationship.clone(),
            field,
            target,
            output: inner,
        });
        Ok(())
    }

    fn relationship(
        &self,
        object: usize,
        name: &str,
        at: usize,
    ) -> Result<(usize, usize), Refusal> {
        let found = self.session.schema.objects[object].relationship(name);
        found.filter(|(field, _)| self.session.schema.sees(self.session.user, object, *field)).ok_or_else(|| {
            let sentence = format!(
                "Didn't understand relationship '{name}' in field path. If you are attempting to use a custom \
                 relationship, be sure to append the '__r' after the custom relationship name. Please reference your \
                 WSDL or the describe call for the appropriate names."
            );
            self.error("INVALID_FIELD", at, &sentence)
        })
    }

    fn column(&self, object: usize, name: &str, at: usize) -> Result<Column, Refusal> {
        let column = self.session.schema.objects[object].column(name);
        column
            .filter(|column| match column {
                Column::Field(field) => self.session.schema.sees(self.session.user, object, *field),
                _ => true,
            })
            .ok_or_else(|| self.no_column(object, name, at))
    }

    fn path(&self, object: usize, name: &Name) -> Result<Path, Refusal> {
        let mut object = object;
        let mut steps = Vec::new();
        let (last, parents) = name
            .parts
            .split_last()
            .map_or(("", &[][..]), |(last, rest)| (last.as_str(), rest));
        for (place, parent) in parents.iter().enumerate() {
            if place == 0 && parent.eq_ignore_ascii_case(&self.session.schema.objects[object].name)
            {
                continue;
            }
            let (field, target) = self.relationship(object, parent, name.at)?;
            steps.push((field, target));
            object = target;
        }
        Ok(Path {
            column: self.column(object, last, name.at)?,
            steps,
        })
    }

    fn condition(&self, object: usize, condition: &Condition) -> Result<Test, Refusal> {
        Ok(match condition {
            Condition::And(all) => Test::All(
                all.iter()
                    .map(|one| self.condition(object, one))
                    .collect::<Result<_, _>>()?,
            ),
            Condition::Or(any) => Test::Any(
                any.iter()
                    .map(|one| self.condition(object, one))
                    .collect::<Result<_, _>>()?,
            ),
            Condition::Not(one) => Test::Not(Box::new(self.condition(object, one)?)),
            Condition::Compare {
                field,
                operator,
                value,
            } => {
                let path = self.path(object, field)?;
                let sample = self.sample(object, &path, field, value)?;
                if *operator == Operator::Like && !matches!(value, Literal::Text(_)) {
                    return Err(self.error(
                        "INVALID_QUERY_FILTER_OPERATOR",
                        field.at,
                        "LIKE needs a text",
                    ));
                }
                Test::Compare {
                    path,
                    operator: *operator,
                    sample,
                }
            }
            Condition::In {
                field,
                negated,
                values,
            } => {
                let path = self.path(object, field)?;
                let samples = values
                    .iter()
                    .map(|value| self.sample(object, &path, field, value));
                Test::In {
                    samples: samples.collect::<Result<_, _>>()?,
                    negated: *negated,
                    path,
                }
            }
        })
    }

    /// A literal in the type of the column that it is compared with.
    fn sample(
        &self,
        object: usize,
        path: &Path,
        name: &Name,
        literal: &Literal,
    ) -> Result<Sample, Refusal> {
        let object = path.steps.last().map_or(object, |(_, object)| *object);
        let (kind, quoted) = match path.column {
            Column::Id => return self.id_sample(name, literal),
            Column::IsDeleted => ("boolean", false),
            Column::CreatedDate | Column::LastModifiedDate | Column::SystemModstamp => {
                ("dateTime", false)
            }
            Column::Field(field) => match &self.session.schema.objects[object].fields[field].kind {
                Kind::Reference { .. } => return self.id_sample(name, literal),
                Kind::Text { .. } | Kind::Picklist { .. } | Kind::Autonumber { .. } => {
                    ("string", true)
                }
                Kind::Number { .. }
                | Kind::Currency { .. }
                | Kind::RollUp { .. }
                | Kind::Formula { .. } => ("double", false),
                Kind::Checkbox => ("boolean", false),
                Kind::Date => ("date", false),
                Kind::Datetime => ("dateTime", false),
            },
        };
        let exact = match path.column {
            Column::Field(field) => {
                self.session.schema.objects[object].fields[field].case_sensitive
            }
            _ => false,
        };
        Sample::of(literal, kind, exact).ok_or_else(|| {
            let quoting = if quoted {
                "should be enclosed in quotes"
            } else {
                "should not be enclosed in quotes"
            };
            let (at, name) = (name.at, name.parts.join("."));
            let sentence = format!(
                "value of filter criterion for field '{name}' must be of type {kind} and {quoting}"
            );
            self.error("INVALID_FIELD", at, &sentence)
        })
    }

    fn id_sample(&self, name: &Name, literal: &Literal) -> Result<Sample, Refusal> {
        match literal {
            Literal::Null => Ok(Sample::null()),
            Literal::Text(text) => match super::super::id::Id::parse(text) {
                Some(id) => Ok(Sample::id(id)),
                None if text.is_empty() => Ok(Sample::null()),
                // Recorded against a real org.
                None => Err(self.error(
                    "INVALID_QUERY_FILTER_OPERATOR",
                    name.at,
                    &format!("invalid ID field: {text}"),
                )),
            },
            _ => Err(self.error(
                "INVALID_FIELD",
                name.at,
                "an id is a text and should be enclosed in quotes",
            )),
        }
    }
}
