//! The code of `#[derive(Record)]`.
//!
//! Only the view has a name that users see. Batch, builder and slot are tuple structs inside `const _`, so that no
//! name of theirs can meet one of the user's.

use crate::input::{Field, Input};
use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Generics, Ident, Index, Path, parse_quote};

/// The parts that several implementations need.
struct Parts<'a> {
    input: &'a Input,
    /// The path of `windrow-datasets`.
    krate: &'a Path,
    view: Ident,
    /// `0`, `1`, ... : the fields of batch, builder and slot.
    indexes: Vec<Index>,
    /// `<T as Record>` of each field, with the span of the field's type.
    records: Vec<TokenStream>,
}

/// All items for one struct.
pub(crate) fn implement(input: &Input) -> TokenStream {
    let krate = &input.krate;
    let parts = Parts {
        input,
        krate,
        view: format_ident!("{}View", input.name, span = input.name.span()),
        indexes: (0..input.fields.len()).map(Index::from).collect(),
        records: cast(&input.fields, &parse_quote!(#krate::record::Record)),
    };
    let view = parts.view_struct();
    let columns = parts.column_structs();
    let record = parts.record();
    let batch = parts.batch();
    let builder = parts.builder();
    let text = parts.text();
    let names = parts.columns_by_name();
    let key = input.key.then(|| parts.key());
    quote! {
        #view
        const _: () = {
            #columns
            #record
            #batch
            #builder
            #text
            #names
            #key
        };
    }
}

/// `<T as Bound>` of each field.
fn cast(fields: &[Field], bound: &Path) -> Vec<TokenStream> {
    let cast = |Field { ty, .. }: &Field| quote_spanned!(ty.span()=> <#ty as #bound>);
    fields.iter().map(cast).collect()
}

impl Parts<'_> {
    /// The struct's generics, with `bound` on each type parameter, and on the type of each field where `fields`.
    ///
    /// The bounds on fields are there for what the compiler says of a field that does not have it: the code that
    /// assumes it is not blamed, and one error is left, at the field. `for<'b>` defers the check to where the
    /// implementation is used.
    fn generics(&self, bound: &Path, fields: bool) -> Generics {
        let mut generics = self.input.generics.clone();
        for parameter in generics.type_params_mut() {
            parameter.default = None;
            parameter.bounds.push(parse_quote!(#bound));
        }
        if fields {
            let bounds = &mut generics.make_where_clause().predicates;
            for Field { ty, .. } in &self.input.fields {
                bounds.push(parse_quote!(for<'b> #ty: #bound));
            }
        }
        generics
    }

    fn record_generics(&self) -> Generics {
        let krate = self.krate;
        self.generics(&parse_quote!(#krate::record::Record), true)
    }

    /// Those of an implementation for the view.
    fn view_generics(&self) -> Generics {
        let mut generics = self.record_generics();
        generics.params.insert(0, parse_quote!('a));
        generics
    }

    fn view_struct(&self) -> TokenStream {
        let Parts { input, krate, view, records, .. } = self;
        let Input { vis, name, fields, .. } = input;
        let view_generics = self.view_generics();
        let (impls, types, bounds) = view_generics.split_for_impl();
        // Without bounds on fields: here is where a field that is no record is an error.
        let mut own_generics = self.generics(&parse_quote!(#krate::record::Record), false);
        own_generics.params.insert(0, parse_quote!('a));
        let (own_impls, _, own_bounds) = own_generics.split_for_impl();
        let record_generics = self.record_generics();
        let (_, owned_types, _) = record_generics.split_for_impl();
        let names: Vec<_> = fields.iter().map(|f| &f.name).collect();
        let texts = fields.iter().map(|f| f.name.unraw().to_string());
        let members = fields.iter().map(|Field { vis, name, ty, .. }| {
            let ty_span = ty.span().resolved_at(Span::call_site());
            let view = quote_spanned!(ty_span=> <#ty as #krate::record::Record>::View<'a>);
            quote!(#vis #name: #view)
        });
        let doc = format!("The view of [`{name}`]: its fields, borrowed.");
        let title = view.to_string();
        let mut debug_generics = self.view_generics();
        let debug_bounds = &mut debug_generics.make_where_clause().predicates;
        for record in records {
            // A field without `Debug` is no error, but where it is asked for.
            debug_bounds.push(parse_quote!(for<'b> #record::View<'a>: ::core::fmt::Debug));
        }
        let (_, _, debug_bounds) = debug_generics.split_for_impl();
        quote! {
            #[doc = #doc]
            #[allow(missing_docs, reason = "the fields are documented at the record")]
            #vis struct #view #own_impls #own_bounds {
                #(#members,)*
            }
            #[automatically_derived]
            impl #impls ::core::clone::Clone for #view #types #bounds {
                #[inline]
                fn clone(&self) -> Self {
                    *self
                }
            }
            #[automatically_derived]
            impl #impls ::core::marker::Copy for #view #types #bounds {}
            #[automatically_derived]
            impl #impls #view #types #bounds {
                /// The owned record of this view.
                #[allow(dead_code, reason = "not every record is owned again")]
                #vis fn own(self) -> #name #owned_types {
                    #krate::record::Record::own(self)
                }
            }
            #[automatically_derived]
            impl #impls ::core::fmt::Debug for #view #types #debug_bounds {
                fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    f.debug_struct(#title)#(.field(#texts, &self.#names))*.finish()
                }
            }
        }
    }

    fn column_structs(&self) -> TokenStream {
        let Parts { records, indexes, .. } = self;
        let generics = self.record_generics();
        let (impls, types, bounds) = generics.split_for_impl();
        quote! {
            pub struct __Batch #impls (#(#records::Batch),*) #bounds;
            pub struct __Builder #impls (#(#records::Builder),*) #bounds;
            pub struct __Slot #impls (#(#records::Slot),*) #bounds;

            #[automatically_derived]
            impl #impls ::core::clone::Clone for __Batch #types #bounds {
                fn clone(&self) -> Self {
                    __Batch(#(::core::clone::Clone::clone(&self.#indexes)),*)
                }
            }
            #[automatically_derived]
            impl #impls ::core::default::Default for __Builder #types #bounds {
                fn default() -> Self {
                    __Builder(#(#records::Builder::default()),*)
                }
            }
            #[automatically_derived]
            impl #impls ::core::clone::Clone for __Slot #types #bounds {
                #[inline]
                fn clone(&self) -> Self {
                    *self
                }
            }
            #[automatically_derived]
            impl #impls ::core::marker::Copy for __Slot #types #bounds {}
        }
    }

    fn record(&self) -> TokenStream {
        let Parts { input, krate, view, records, indexes, .. } = self;
        let Input { name, fields, .. } = input;
        let view_generics = self.view_generics();
        let (_, view_types, _) = view_generics.split_for_impl();
        let generics = self.record_generics();
        let (impls, types, bounds) = generics.split_for_impl();
        let names: Vec<_> = fields.iter().map(|f| &f.name).collect();
        let tys = fields.iter().map(|f| &f.ty);
        let columns = fields.iter().map(|f| &f.column);
        quote! {
            #[automatically_derived]
            impl #impls #krate::record::Record for #name #types #bounds {
                type View<'a> = #view #view_types;
                type Batch = __Batch #types;
                type Builder = __Builder #types;
                type Slot = __Slot #types;

                #[inline]
                fn view(&self) -> Self::View<'_> {
                    #view { #(#names: #records::view(&self.#names)),* }
                }
                #[inline]
                fn own(view: Self::View<'_>) -> Self {
                    #name { #(#names: #records::own(view.#names)),* }
                }
                #[inline(always)]
                fn shorten<'short, 'long: 'short>(view: Self::View<'long>) -> Self::View<'short> {
                    #view { #(#names: #records::shorten(view.#names)),* }
                }
                #[inline]
                fn keep(view: Self::View<'_>, heap: &mut #krate::record::Heap) -> Self::Slot {
                    __Slot(#(#records::keep(view.#names, heap)),*)
                }
                #[inline]
                unsafe fn slot_view<'a>(slot: &'a Self::Slot) -> Self::View<'a> {
                    // SAFETY: the caller's promise holds for each field.
                    unsafe { #view { #(#names: #records::slot_view(&slot.#indexes)),* } }
                }
                fn data_type() -> #krate::record::derived::DataType {
                    #krate::record::derived::struct_type(::std::vec![
                        #(#krate::record::derived::field::<#tys>(#columns)),*
                    ])
                }
                fn approximate_bytes(view: Self::View<'_>) -> usize {
                    0 #(+ #records::approximate_bytes(view.#names))*
                }
            }
        }
    }

    fn batch(&self) -> TokenStream {
        let Parts { input, krate, view, records, indexes, .. } = self;
        let Input { name, fields, .. } = input;
        let generics = self.record_generics();
        let (impls, types, bounds) = generics.split_for_impl();
        let names = fields.iter().map(|f| &f.name);
        let tys: Vec<_> = fields.iter().map(|f| &f.ty).collect();
        let columns = fields.iter().map(|f| &f.column);
        let array = quote!(#krate::record::derived::ArrayRef);
        // Spelled out, since a field's type may have several batches' worth of traits in scope.
        let batches: Vec<_> = records
            .iter()
            .zip(&tys)
            .map(|(record, ty)| quote!(<#record::Batch as #krate::record::Batch<#ty>>))
            .collect();
        let first = &batches[0];
        quote! {
            #[automatically_derived]
            impl #impls #krate::record::Batch<#name #types> for __Batch #types #bounds {
                #[inline]
                fn len(&self) -> usize {
                    #first::len(&self.0)
                }
                #[inline]
                unsafe fn get_unchecked(
                    &self,
                    index: usize,
                ) -> <#name #types as #krate::record::Record>::View<'_> {
                    // SAFETY: all columns are of one length; the caller keeps `index` in bounds.
                    unsafe { #view { #(#names: #batches::get_unchecked(&self.#indexes, index)),* } }
                }
                #[inline]
                fn prefetch(&self, index: usize) {
                    #(#batches::prefetch(&self.#indexes, index);)*
                }
                fn to_array(&self) -> #array {
                    #krate::record::derived::struct_array::<#name #types>(::std::vec![
                        #(#batches::to_array(&self.#indexes)),*
                    ])
                }
                fn from_array(
                    array: &#array,
                ) -> ::core::result::Result<Self, #krate::record::BindError> {
                    let columns = #krate::record::derived::columns::<#name #types>(array)?;
                    ::core::result::Result::Ok(__Batch(
                        #(#krate::record::derived::column::<#tys>(columns, #columns)?),*
                    ))
                }
            }
        }
    }

    fn builder(&self) -> TokenStream {
        let Parts { input, krate, records, indexes, .. } = self;
        let Input { name, fields, .. } = input;
        let generics = self.record_generics();
        let (impls, types, bounds) = generics.split_for_impl();
        let names = fields.iter().map(|f| &f.name);
        let builders: Vec<_> = records
            .iter()
            .zip(fields)
            .map(|(record, Field { ty, .. })| {
                quote!(<#record::Builder as #krate::record::Builder<#ty>>)
            })
            .collect();
        let first = &builders[0];
        quote! {
            #[automatically_derived]
            impl #impls #krate::record::Builder<#name #types> for __Builder #types #bounds {
                #[inline]
                fn push(&mut self, view: <#name #types as #krate::record::Record>::View<'_>) {
                    #(#builders::push(&mut self.#indexes, view.#names);)*
                }
                #[inline]
                fn push_blank(&mut self) {
                    #(#builders::push_blank(&mut self.#indexes);)*
                }
                fn len(&self) -> usize {
                    #first::len(&self.0)
                }
                fn reserve(&mut self, records: usize) {
                    #(#builders::reserve(&mut self.#indexes, records);)*
                }
                fn finish(&mut self) -> <#name #types as #krate::record::Record>::Batch {
                    __Batch(#(#builders::finish(&mut self.#indexes)),*)
                }
            }
        }
    }

    fn text(&self) -> TokenStream {
        let Parts { input, krate, .. } = self;
        let Input { name, fields, .. } = input;
        // A field without a text form is no error, but where the text is asked for.
        let generics = self.generics(&parse_quote!(#krate::record::TextRecord), true);
        let (impls, types, bounds) = generics.split_for_impl();
        let texts = cast(fields, &parse_quote!(#krate::record::TextRecord));
        let names = fields.iter().map(|f| &f.name);
        let tabs = (0..fields.len()).map(|i| (i > 0).then(|| quote!(out.push(b'\t');)));
        quote! {
            #[automatically_derived]
            impl #impls #krate::record::TextRecord for #name #types #bounds {
                fn write_text(
                    view: <Self as #krate::record::Record>::View<'_>,
                    out: &mut ::std::vec::Vec<u8>,
                ) {
                    #(#tabs #texts::write_text(view.#names, out);)*
                }
            }
        }
    }

    fn columns_by_name(&self) -> TokenStream {
        let Parts { input, krate, indexes, .. } = self;
        let Input { name, fields, .. } = input;
        let generics = self.record_generics();
        let (impls, types, bounds) = generics.split_for_impl();
        let derived = quote!(#krate::record::derived);
        let names: Vec<_> = fields.iter().map(|f| &f.name).collect();
        let members = fields.iter().map(|Field { vis, name: field, ty, .. }| {
            quote!(#vis #field: #derived::Col<#name #types, #ty>)
        });
        let columns = fields.iter().map(|f| &f.column);
        let tys = fields.iter().map(|f| &f.ty);
        quote! {
            #[allow(dead_code, missing_docs)]
            pub struct __Columns #impls #bounds {
                #(#members,)*
            }
            #[automatically_derived]
            impl #impls ::core::clone::Clone for __Columns #types #bounds {
                fn clone(&self) -> Self {
                    *self
                }
            }
            #[automatically_derived]
            impl #impls ::core::marker::Copy for __Columns #types #bounds {}
            #[automatically_derived]
            impl #impls #derived::Columns for #name #types #bounds {
                type Fields = __Columns #types;
                const COLS: #derived::Cols<Self> = #derived::Cols::new(__Columns {
                    #(#names: #derived::Col::<#name #types, #tys>::new(#columns, |batch| {
                        &batch.#indexes
                    })),*
                });
            }
        }
    }

    fn key(&self) -> TokenStream {
        let Parts { input, krate, indexes, .. } = self;
        let Input { name, fields, .. } = input;
        let key: Path = parse_quote!(#krate::record::Key);
        let generics = self.generics(&key, true);
        let (impls, types, bounds) = generics.split_for_impl();
        let keys = cast(fields, &key);
        let names = fields.iter().map(|f| &f.name);
        let tys: Vec<_> = fields.iter().map(|f| &f.ty).collect();
        let count = fields.len() as u64;
        let heap = quote!(#krate::record::Heap);
        let own_generics = self.generics(&key, false);
        let (own_impls, _, own_bounds) = own_generics.split_for_impl();
        let checks = fields.iter().map(|Field { ty, .. }| {
            quote_spanned!(ty.span()=> #krate::record::derived::is_key::<#ty>();)
        });
        quote! {
            // Here is where a field that is no key is an error.
            #[allow(dead_code, clippy::multiple_bound_locations)]
            fn __fields_are_keys #own_impls () #own_bounds {
                #(#checks)*
            }
            #[automatically_derived]
            impl #impls #key for #name #types #bounds {
                const PREFIX_IS_EXACT: bool =
                    true #(&& #keys::PREFIX_IS_EXACT)* && Self::PREFIX_BITS <= 96;
                const PREFIX_BITS: u32 = 0 #(+ #keys::PREFIX_BITS)*;

                #[inline]
                fn probe(view: <Self as #krate::record::Record>::View<'_>) -> __Slot #types {
                    __Slot(#(#keys::probe(view.#names)),*)
                }
                #[inline]
                unsafe fn probe_batch(batch: &__Batch #types, index: usize) -> __Slot #types {
                    // SAFETY: the caller's promise holds for each field.
                    unsafe { __Slot(#(#keys::probe_batch(&batch.#indexes, index)),*) }
                }
                #[inline]
                unsafe fn keep_slot(slot: &__Slot #types, heap: &mut #heap) -> __Slot #types {
                    // SAFETY: the caller's promise holds for each field.
                    unsafe { __Slot(#(#keys::keep_slot(&slot.#indexes, heap)),*) }
                }
                #[inline]
                unsafe fn slot_hash(slot: &__Slot #types) -> u64 {
                    let hash: u64 = #count;
                    // SAFETY: the caller's promise holds for each field.
                    #(let hash =
                        #krate::record::mix(hash, unsafe { #keys::slot_hash(&slot.#indexes) });)*
                    hash
                }
                unsafe fn slot_feed(
                    slot: &__Slot #types,
                    hasher: &mut impl ::core::hash::Hasher,
                ) {
                    // SAFETY: the caller's promise holds for each field.
                    #(unsafe { #keys::slot_feed(&slot.#indexes, hasher) };)*
                }
                #[inline]
                unsafe fn slot_eq(a: &__Slot #types, b: &__Slot #types) -> bool {
                    // SAFETY: the caller's promise holds for each field.
                    unsafe { true #(&& #keys::slot_eq(&a.#indexes, &b.#indexes))* }
                }
                #[inline]
                unsafe fn slot_cmp(a: &__Slot #types, b: &__Slot #types) -> ::core::cmp::Ordering {
                    // SAFETY: the caller's promise holds for each field.
                    unsafe {
                        ::core::cmp::Ordering::Equal
                            #(.then_with(|| #keys::slot_cmp(&a.#indexes, &b.#indexes)))*
                    }
                }
                #[inline]
                unsafe fn prefix(slot: &__Slot #types) -> u128 {
                    // SAFETY: the caller's promise holds for each field.
                    unsafe {
                        #krate::record::derived::Prefix::default()
                            #(.then::<#tys>(&slot.#indexes))*
                            .bits()
                    }
                }
            }
        }
    }
}
