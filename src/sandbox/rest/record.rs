//! Printing one row: the columns that were asked for, in their order.

use super::super::org::Session;
use super::super::schema::{Column, Kind};
use super::super::store::Key;
use super::super::value::{self, Value};

impl Session<'_> {
    /// `"attributes":{"type":…,"url":…}`.
    pub(in super::super) fn write_attributes(&self, version: &str, key: Key, out: &mut Vec<u8>) {
        let name = &self.schema.objects[key.object].name;
        let text = format!(
            "\"attributes\":{{\"type\":\"{name}\",\"url\":\"/services/data/{version}/sobjects/{name}/{}\"}}",
            self.id(key)
        );
        out.extend_from_slice(text.as_bytes());
    }

    /// One column as JSON; `null` where the row does not exist.
    pub(in super::super) fn write_column(&self, key: Key, column: Column, out: &mut Vec<u8>) {
        let Some(row) = self.org.store.row(key) else {
            return out.extend_from_slice(b"null");
        };
        let moment = |seconds| {
            time::OffsetDateTime::from_unix_timestamp(seconds)
                .unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
        };
        match column {
            Column::Id => value::write_string(self.id(key).as_str(), out),
            Column::IsDeleted => {
                out.extend_from_slice(if row.deleted { b"true" } else { b"false" });
            }
            Column::CreatedDate => value::write_moment(moment(row.created), out),
            Column::LastModifiedDate | Column::SystemModstamp => {
                value::write_moment(moment(row.modified), out);
            }
            Column::Field(index) => match self.computed(key, index) {
                Value::Null => out.extend_from_slice(b"null"),
                Value::Text(text) => value::write_string(&text, out),
                Value::Number(number) => value::write_double(number, out),
                Value::Flag(flag) => out.extend_from_slice(if flag { b"true" } else { b"false" }),
                Value::Date(date) => value::write_date(date, out),
                Value::Moment(moment) => value::write_moment(moment, out),
                Value::Reference(row) => {
                    let Kind::Reference { target, .. } =
                        self.schema.objects[key.object].fields[index].kind
                    else {
                        return out.extend_from_slice(b"null");
                    };
                    value::write_string(
                        self.id(Key {
                            object: target,
                            row,
                        })
                        .as_str(),
                        out,
                    );
                }
            },
        }
    }

    /// A value as it is read: formulas are computed now.
    pub(in super::super) fn computed(&self, key: Key, field: usize) -> Value {
        match self.schema.objects[key.object].fields[field].kind {
            Kind::Formula {
                terms: (minuend, subtrahend),
                ..
            } => {
                let term = |field| self.org.store.value(key, field).number_or_zero();
                let (minuend, subtrahend) = (term(minuend), term(subtrahend));
                Value::Number(minuend.checked_sub(subtrahend).unwrap_or(minuend))
            }
            _ => self.org.store.value(key, field).clone(),
        }
    }

    /// A whole record with its attributes.
    pub(in super::super) fn write_record(
        &self,
        version: &str,
        key: Key,
        columns: &[Column],
        out: &mut Vec<u8>,
    ) {
        out.push(b'{');
        self.write_attributes(version, key, out);
        for column in columns {
            out.push(b',');
            value::write_string(self.schema.objects[key.object].column_name(*column), out);
            out.push(b':');
            self.write_column(key, *column, out);
        }
        out.push(b'}');
    }
}
