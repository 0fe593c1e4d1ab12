//! An item as its users see it.

use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{
    Attribute, Block, Field, Fields, File, Item, ItemStruct, PatIdent, Receiver, Type, Visibility,
    parse_quote,
};

/// The attributes that are part of an item's public face.
const KEPT: [&str; 7] =
    ["cfg", "default", "deprecated", "derive", "must_use", "non_exhaustive", "repr"];

/// Replaces the private fields until the text is made.
const PRIVATE_FIELDS: &str = "__private: _,";

/// The item's text, without bodies, private fields and documentation.
pub fn signature(mut item: Item) -> String {
    if let Item::Macro(item) = &item {
        return without_comments(&item.span().source_text().unwrap_or_default());
    }
    Face.visit_item_mut(&mut item);
    let has_bodies_of_its_own = matches!(item, Item::Trait(_));
    let text = prettyplease::unparse(&File { items: vec![item], ..parse_quote!() });
    let mut lines = String::new();
    for line in text.lines() {
        let line = match line.strip_suffix(" {}") {
            // In a trait, an empty body says that the method is provided.
            Some(line) if !has_bodies_of_its_own => format!("{line};"),
            _ => line.replace(PRIVATE_FIELDS, "// private fields"),
        };
        lines.push_str(&line);
        lines.push('\n');
    }
    lines
}

/// A macro stands as it was written, for nobody can tell which part of it is seen outside.
fn without_comments(source: &str) -> String {
    let lines = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.map(|line| format!("{line}\n")).collect()
}

struct Face;

impl VisitMut for Face {
    fn visit_attributes_mut(&mut self, attributes: &mut Vec<Attribute>) {
        attributes.retain(|attribute| KEPT.iter().any(|name| attribute.path().is_ident(name)));
    }

    fn visit_block_mut(&mut self, block: &mut Block) {
        block.stmts.clear();
    }

    fn visit_pat_ident_mut(&mut self, pattern: &mut PatIdent) {
        pattern.mutability = None;
    }

    fn visit_receiver_mut(&mut self, receiver: &mut Receiver) {
        receiver.mutability = None;
        visit_mut::visit_receiver_mut(self, receiver);
    }

    fn visit_item_struct_mut(&mut self, item: &mut ItemStruct) {
        visit_mut::visit_item_struct_mut(self, item);
        let is_private = |field: &Field| !matches!(field.vis, Visibility::Public(_));
        match &mut item.fields {
            Fields::Named(fields) if fields.named.iter().any(is_private) => {
                let public = fields.named.iter().filter(|field| !is_private(field)).cloned();
                let private: Field = parse_quote!(__private: _);
                fields.named = public.chain([private]).collect();
            }
            Fields::Unnamed(fields) => {
                for field in fields.unnamed.iter_mut().filter(|field| is_private(field)) {
                    field.ty = Type::Infer(parse_quote!(_));
                }
            }
            _ => {}
        }
    }
}
