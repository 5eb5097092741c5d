//! What stands in the way of a change that is well-formed: a refusal that was
//! asked for, the lock of a parent, the rules of the schema.

use super::super::org::Session;
use super::super::refusal::Refusal;
use super::super::schema::{Kind, Rule, RuleKind};
use super::super::store::Key;
use super::super::value::Value;
use super::Change;

impl Session<'_> {
    /// Fails where the change may not be.
    pub(super) fn check(&mut self, change: Change<'_>) -> Result<(), Refusal> {
        self.staged(change)?;
        self.take_locks(change)?;
        let schema = std::sync::Arc::clone(&self.schema);
        for rule in schema
            .rules
            .iter()
            .filter(|rule| rule.active && rule.on == change.object)
        {
            if self.fires(rule, change) {
                let refusal =
                    Refusal::new("FIELD_CUSTOM_VALIDATION_EXCEPTION", rule.message.clone());
                // A trigger that stops a delete has no field to point at.
                let field = rule.error_field.as_deref().filter(|_| change.new.is_some());
                return Err(refusal.fields(field));
            }
        }
        Ok(())
    }

    fn staged(&mut self, change: Change<'_>) -> Result<(), Refusal> {
        if self.circumstances.staged.is_empty() {
            return Ok(());
        }
        let values = change.new.or(change.old).unwrap_or_default();
        let fields = self.schema.objects[change.object].fields.iter().zip(values);
        let external_id = fields
            .filter(|(field, _)| field.external_id)
            .find_map(|(_, value)| value.text())
            .unwrap_or_default();
        for (staged, hits) in self.circumstances.staged.iter().zip(&mut self.staged_hits) {
            let named = staged
                .external_ids
                .iter()
                .any(|pattern| match pattern.strip_suffix('*') {
                    Some(start) => external_id.starts_with(start),
                    None => external_id == pattern,
                });
            if named || staged.external_ids.is_empty() {
                *hits += 1;
                if *hits % staged.every.max(1) == 0 {
                    return Err(staged.refusal.clone());
                }
            }
        }
        Ok(())
    }

    /// A write locks the row itself and every master above it, the old ones
    /// and the new ones.
    fn take_locks(&mut self, change: Change<'_>) -> Result<(), Refusal> {
        let mut needed: Vec<Key> = change.key.into_iter().collect();
        for values in [change.old, change.new].into_iter().flatten() {
            self.masters(change.object, values, &mut needed);
        }
        let held: Vec<Key> = needed
            .iter()
            .copied()
            .filter(|key| self.circumstances.locked.contains(key))
            .collect();
        self.touched.extend(needed);
        if held.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = held.iter().map(|key| self.id(*key).to_string()).collect();
        let message = format!(
            "unable to obtain exclusive access to this record or {} records: {}",
            ids.len(),
            ids.join(",")
        );
        Err(Refusal::new("UNABLE_TO_LOCK_ROW", message).fields([]))
    }

    fn masters(&self, object: usize, values: &[Value], found: &mut Vec<Key>) {
        for (field, value) in self.schema.objects[object].fields.iter().zip(values) {
            if let (
                Kind::Reference {
                    master: true,
                    target,
                    ..
                },
                Value::Reference(row),
            ) = (&field.kind, value)
            {
                let parent = Key {
                    object: *target,
                    row: *row,
                };
                found.push(parent);
                if let Some(row) = self.org.store.row(parent) {
                    self.masters(parent.object, &row.values, found);
                }
            }
        }
    }

    fn fires(&self, rule: &Rule, change: Change<'_>) -> bool {
        match &rule.kind {
            RuleKind::NotOlder { index, .. } => match (change.old, change.new) {
                (Some(old), Some(new)) => {
                    new[*index].number_or_zero() < old[*index].number_or_zero()
                }
                _ => false,
            },
            RuleKind::LockedByAncestor {
                value,
                unless_permission,
                steps,
                status,
                ignored,
                ..
            } => {
                if self.schema.users[self.user]
                    .permissions
                    .contains(unless_permission)
                {
                    return false;
                }
                if let (Some(old), Some(new)) = (change.old, change.new) {
                    let same = |(index, (old, new)): (usize, (&Value, &Value))| {
                        old == new || ignored.contains(&index)
                    };
                    if old.iter().zip(new).enumerate().all(same) {
                        return false;
                    }
                }
                let states = [change.old, change.new].into_iter().flatten();
                states
                    .into_iter()
                    .any(|values| self.ancestor_holds(values, steps, *status, value))
            }
        }
    }

    /// Whether the row at the end of a chain of references holds this text.
    fn ancestor_holds(
        &self,
        values: &[Value],
        steps: &[(usize, usize)],
        field: usize,
        text: &str,
    ) -> bool {
        let mut values = values;
        for (reference, object) in steps {
            let Value::Reference(row) = values[*reference] else {
                return false;
            };
            let Some(row) = self.org.store.row(Key {
                object: *object,
                row,
            }) else {
                return false;
            };
            values = &row.values;
        }
        values[field].text() == Some(text)
    }
}
