//! Turning the names in a schema into indexes, once, when it is read.

use super::{Error, Kind, RollUp, RuleKind, Schema};

impl Schema {
    pub(super) fn link_fields(&mut self) -> Result<(), Error> {
        let mut kinds = Vec::new();
        for (parent, object) in self.objects.iter().enumerate() {
            for (index, field) in object.fields.iter().enumerate() {
                let mut kind = field.kind.clone();
                match &mut kind {
                    Kind::Reference { to, target, .. } => *target = self.find(to)?,
                    Kind::Formula {
                        minuend,
                        subtrahend,
                        terms,
                    } => {
                        *terms = (
                            self.find_field(parent, minuend)?,
                            self.find_field(parent, subtrahend)?,
                        );
                    }
                    Kind::RollUp {
                        child,
                        foreign_key,
                        operation,
                        field,
                    } => {
                        let child = self.find(child)?;
                        self.roll_ups.push(RollUp {
                            parent,
                            field: index,
                            child,
                            foreign_key: self.find_field(child, foreign_key)?,
                            operation: *operation,
                            summed: field
                                .as_deref()
                                .map(|field| self.find_field(child, field))
                                .transpose()?,
                        });
                    }
                    _ => {}
                }
                kinds.push(kind);
            }
        }
        let fields = self
            .objects
            .iter_mut()
            .flat_map(|object| &mut object.fields);
        for (field, kind) in fields.zip(kinds) {
            field.kind = kind;
        }
        Ok(())
    }

    pub(super) fn link_rules(&mut self) -> Result<(), Error> {
        let mut rules = self.rules.clone();
        for rule in &mut rules {
            rule.on = self.find(&rule.object)?;
            match &mut rule.kind {
                RuleKind::NotOlder { field, index } => *index = self.find_field(rule.on, field)?,
                RuleKind::LockedByAncestor {
                    path,
                    field,
                    unless_only,
                    steps,
                    status,
                    ignored,
                    ..
                } => {
                    let mut object = rule.on;
                    for step in path.iter() {
                        let field = self.find_field(object, step)?;
                        let Kind::Reference { target, .. } =
                            self.objects[object].fields[field].kind
                        else {
                            return Err(Error::Name(format!("a reference {step}")));
                        };
                        steps.push((field, target));
                        object = target;
                    }
                    *status = self.find_field(object, field)?;
                    for name in unless_only.iter() {
                        ignored.push(self.find_field(rule.on, name)?);
                    }
                }
            }
        }
        self.rules = rules;
        Ok(())
    }
}
