//! Which columns of a file a record's fields are: one rule for all formats that have columns.
//!
//! Columns are matched with fields by name, whatever their order; other columns are left out. A field whose column is
//! missing must be an `Option`, and is `None` then. A record that is no struct is the column `value`, or the only one of
//! the file. Types are [`Batch::from_array`]'s business.

use crate::formats::hive;
use crate::formats::rows::as_wanted;
use crate::location::Location;
use crate::record::{Batch, BindError, Record, fields_of};
use crate::source::SourceError;
use arrow::array::{
    ArrayRef, NullArray, RecordBatch, StructArray, new_empty_array, new_null_array,
};
use arrow::datatypes::{DataType, Field, Fields};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The columns that records want of a file.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) fields: Fields,
    /// Whether the record is a struct of these columns, rather than the only one of them.
    pub(crate) is_struct: bool,
    /// Whether the columns are to have these very types, since no record type says how they are read.
    exact: bool,
}

impl Wanted {
    /// Those of a record type.
    pub(crate) fn of<T: Record>() -> Wanted {
        Wanted {
            fields: fields_of::<T>(),
            is_struct: matches!(T::data_type(), DataType::Struct(_)),
            exact: false,
        }
    }

    /// Those of rows that have these columns.
    pub(crate) fn rows(fields: Fields) -> Wanted {
        Wanted { fields, is_struct: true, exact: true }
    }

    /// The values, in one row, that the folders of a file's path give to fields, by their names.
    ///
    /// # Errors
    /// As for [`hive::value`].
    pub(crate) fn given(
        &self,
        location: &Location,
    ) -> Result<BTreeMap<String, ArrayRef>, SourceError> {
        let mut given = BTreeMap::new();
        for field in self.fields.iter().filter(|_| self.is_struct) {
            if let Some(value) = hive::value(location, field)? {
                given.insert(field.name().clone(), value);
            }
        }
        Ok(given)
    }

    /// The dotted names of the columns, for people.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        name_columns("", &self.fields, &mut names);
        names
    }
}

/// What the wanted columns are called in a file.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    wanted: Wanted,
    names: Vec<String>,
    /// What the folders of the file's path give, in one row: such columns of the file are not read.
    given: BTreeMap<String, ArrayRef>,
}

impl Names {
    /// For a file with these columns.
    pub(crate) fn new(wanted: &Wanted, found: &Fields) -> Names {
        let mut names: Vec<String> =
            wanted.fields.iter().map(|field| field.name().clone()).collect();
        if let ([only], false) = (found.as_ref(), wanted.is_struct)
            && let [name] = names.as_mut_slice()
        {
            name.clone_from(only.name());
        }
        Names { wanted: wanted.clone(), names, given: BTreeMap::new() }
    }

    /// The same, with what the folders of the file's path give.
    pub(crate) fn with_given(self, given: BTreeMap<String, ArrayRef>) -> Names {
        Names { given, ..self }
    }

    /// The field for a column of the file.
    pub(crate) fn field_of(&self, column: &str) -> Option<&Field> {
        let at = self.names.iter().position(|name| name == column)?;
        (!self.given.contains_key(column)).then(|| self.wanted.fields[at].as_ref())
    }

    /// The positions of the columns that are read, ascending.
    pub(crate) fn positions(&self, found: &Fields) -> Vec<usize> {
        let read = found.iter().enumerate().filter(|(_, f)| self.field_of(f.name()).is_some());
        read.map(|(position, _)| position).collect()
    }

    /// Whether `T` binds to a file whose columns, as they are decoded, are `projected`; the file has `found`.
    ///
    /// # Errors
    /// [`BindError`] with the dotted path of the column.
    pub(crate) fn check<T: Record>(
        &self,
        projected: &Fields,
        found: &Fields,
    ) -> Result<(), BindError> {
        let columns: Vec<ArrayRef> =
            projected.iter().map(|field| new_empty_array(field.data_type())).collect();
        let column = |name: &str| {
            projected.iter().position(|field| field.name() == name).map(|at| columns[at].clone())
        };
        match self.batch::<T>(0, column) {
            Ok(_) => Ok(()),
            Err(BindError::Missing { column, .. }) if !column.contains('.') => {
                Err(BindError::Missing { column, present: present(found) })
            }
            Err(error) => Err(error),
        }
    }

    /// The records of a decoded batch.
    ///
    /// # Errors
    /// As for [`Names::check`], and for values that do not fit.
    pub(crate) fn records<T: Record>(&self, decoded: &RecordBatch) -> Result<T::Batch, BindError> {
        self.batch::<T>(decoded.num_rows(), |name| decoded.column_by_name(name).cloned())
    }

    /// The records of as many rows, whose columns `column` gives by their names in the file.
    ///
    /// # Errors
    /// As for [`Names::records`].
    pub(crate) fn batch<T: Record>(
        &self,
        rows: usize,
        mut column: impl FnMut(&str) -> Option<ArrayRef>,
    ) -> Result<T::Batch, BindError> {
        let mut columns = Vec::with_capacity(self.names.len());
        for (field, name) in self.wanted.fields.iter().zip(&self.names) {
            let found = match self.given.get(name) {
                Some(value) => Some(hive::spread(value, rows)),
                None => column(name),
            };
            columns.push(match found {
                Some(array) if self.wanted.exact => {
                    as_wanted(array, field.data_type()).map_err(|e| e.within(name))?
                }
                Some(array) => array,
                None if self.wanted.exact => new_null_array(field.data_type(), rows),
                None if field.is_nullable() => Arc::new(NullArray::new(rows)) as ArrayRef,
                None => {
                    return Err(BindError::Missing {
                        column: name.clone(),
                        present: String::new(),
                    });
                }
            });
        }
        if !self.wanted.is_struct {
            return T::Batch::from_array(&columns[0]).map_err(|e| e.within(&self.names[0]));
        }
        let fields: Fields = self
            .wanted
            .fields
            .iter()
            .zip(&columns)
            .map(|(field, column)| Field::new(field.name(), column.data_type().clone(), true))
            .collect();
        let array = StructArray::try_new_with_length(fields, columns, None, rows);
        let array: ArrayRef = Arc::new(array.expect("columns of one length, of their own types"));
        T::Batch::from_array(&array)
    }
}

/// The error for rows that are not as the record wants them; the batch's first is row `first` of its file.
pub(crate) fn bind_error(location: &Location, mut error: BindError, first: u64) -> SourceError {
    if let BindError::Null { row, .. } | BindError::Value { row, .. } = &mut error {
        *row += first as usize;
    }
    let mut reason = error.to_string();
    if let BindError::Missing { .. } = error {
        reason += "; make the field an `Option` if files may lack it";
    }
    SourceError::Input { location: location.to_string(), reason }
}

/// The names of columns, for a message.
fn present(fields: &Fields) -> String {
    fields.iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ")
}

/// Appends the dotted names of the columns.
pub(crate) fn name_columns(outer: &str, fields: &Fields, names: &mut Vec<String>) {
    for field in fields {
        let name = format!("{outer}{}", field.name());
        match field.data_type() {
            DataType::Struct(fields) => name_columns(&format!("{name}."), fields, names),
            _ => names.push(name),
        }
    }
}
