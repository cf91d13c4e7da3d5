//! What `#[derive(Record)]` is given: the struct, and what its attributes say.

use std::collections::BTreeSet;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Fields, Generics, Ident, LitStr, Path, Result, Type};
use syn::{Visibility, parse_quote};

/// A struct to make a record of.
pub(crate) struct Input {
    pub(crate) vis: Visibility,
    pub(crate) name: Ident,
    /// As the user wrote them.
    pub(crate) generics: Generics,
    pub(crate) fields: Vec<Field>,
    /// The path of `windrow-datasets`.
    pub(crate) krate: Path,
    pub(crate) key: bool,
}

/// A field of the struct.
pub(crate) struct Field {
    pub(crate) vis: Visibility,
    pub(crate) name: Ident,
    pub(crate) ty: Type,
    pub(crate) column: String,
}

impl Input {
    pub(crate) fn read(item: DeriveInput) -> Result<Input> {
        let mut krate: Path = parse_quote!(::windrow::datasets);
        let mut key = false;
        for attribute in item.attrs.iter().filter(|a| a.path().is_ident("record")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("key") {
                    key = true;
                    Ok(())
                } else if meta.path.is_ident("crate") {
                    krate = meta.value()?.parse::<LitStr>()?.parse()?;
                    Ok(())
                } else {
                    Err(meta.error("on a struct there are `#[record(key)]` and `#[record(crate = \"path\")]`; `rename` goes on a field"))
                }
            })?;
        }
        if let Some(lifetime) = item.generics.lifetimes().next() {
            return Err(Error::new(
                lifetime.span(),
                "a record owns its data: hold `String` instead of `&str`, `Vec<T>` instead of `&[T]`; closures still see borrowed views",
            ));
        }
        let fields = match item.data {
            Data::Struct(data) => match data.fields {
                Fields::Named(fields) if !fields.named.is_empty() => fields.named,
                _ => {
                    return Err(Error::new(
                        item.ident.span(),
                        "a record has named fields, at least one: their names are the names of the columns",
                    ));
                }
            },
            Data::Enum(_) | Data::Union(_) => {
                return Err(Error::new(
                    item.ident.span(),
                    format!(
                        "only a struct can be a record: derive serde's traits for `{0}` and use `Encoded<{0}>`",
                        item.ident
                    ),
                ));
            }
        };
        let fields = fields.into_iter().map(Field::read).collect::<Result<Vec<Field>>>()?;
        let mut columns = BTreeSet::new();
        for field in &fields {
            if !columns.insert(&field.column) {
                let message = format!("two fields have the column `{}`", field.column);
                return Err(Error::new(field.name.span(), message));
            }
        }
        Ok(Input { vis: item.vis, name: item.ident, generics: item.generics, fields, krate, key })
    }
}

impl Field {
    fn read(field: syn::Field) -> Result<Field> {
        let span = field.span();
        let Some(name) = field.ident else {
            return Err(Error::new(span, "a record's fields have names"));
        };
        let mut column = name.unraw().to_string();
        for attribute in field.attrs.iter().filter(|a| a.path().is_ident("record")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("rename") {
                    column = meta.value()?.parse::<LitStr>()?.value();
                    Ok(())
                } else {
                    Err(meta.error("on a field there is `#[record(rename = \"column\")]`; `key` and `crate` go on the struct"))
                }
            })?;
        }
        Ok(Field { vis: field.vis, name, ty: field.ty, column })
    }
}
