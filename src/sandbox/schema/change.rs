//! Who may do what, and what an admin changes while the org is in use.

use std::collections::HashSet;

use super::{Error, Kind, Right, Schema};

impl Schema {
    /// Whether a user may do something with an object.
    pub(crate) fn may(&self, user: usize, right: Right, object: usize) -> bool {
        let user = &self.users[user];
        user.all_rights
            || user
                .rights
                .get(&self.objects[object].name)
                .is_some_and(|rights| rights.contains(&right))
    }

    /// Whether a user sees a field.
    pub(crate) fn sees(&self, user: usize, object: usize, field: usize) -> bool {
        !self.users[user].hidden.contains(&(object, field))
    }

    /// Takes a field away from everybody but admins, or gives it back.
    pub(crate) fn hide(&mut self, object: &str, field: &str, hidden: bool) -> Result<(), Error> {
        let object = self.find(object)?;
        let field = self.find_field(object, field)?;
        for user in self.users.iter_mut().filter(|user| !user.all_rights) {
            if hidden {
                user.hidden.insert((object, field));
            } else {
                user.hidden.remove(&(object, field));
            }
        }
        Ok(())
    }

    /// Makes a field required, or not.
    pub(crate) fn require(
        &mut self,
        object: &str,
        field: &str,
        required: bool,
    ) -> Result<(), Error> {
        let object = self.find(object)?;
        let field = self.find_field(object, field)?;
        self.objects[object].fields[field].required = required;
        Ok(())
    }

    /// Lets the details of a master move to another one, or not.
    pub(crate) fn let_move(
        &mut self,
        object: &str,
        field: &str,
        may_move: bool,
    ) -> Result<(), Error> {
        let object = self.find(object)?;
        let index = self.find_field(object, field)?;
        match &mut self.objects[object].fields[index].kind {
            Kind::Reference {
                master: true,
                reparentable,
                ..
            } => *reparentable = may_move,
            _ => return Err(Error::Name(format!("a master {field}"))),
        }
        Ok(())
    }

    /// Replaces the rights of everybody but admins on one object.
    pub(crate) fn grant(&mut self, object: &str, rights: &HashSet<Right>) -> Result<(), Error> {
        let name = self.objects[self.find(object)?].name.clone();
        for user in self.users.iter_mut().filter(|user| !user.all_rights) {
            user.rights.insert(name.clone(), rights.clone());
        }
        Ok(())
    }

    /// Switches a rule on or off.
    pub(crate) fn activate(&mut self, name: &str, active: bool) -> Result<(), Error> {
        let rule = self.rules.iter_mut().find(|rule| rule.name == name);
        rule.ok_or_else(|| Error::Name(format!("rule {name}")))?
            .active = active;
        Ok(())
    }
}
