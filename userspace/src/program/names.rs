//! The side of `==` that names something: a pattern for a string field, the values that an enumeration's names stand for.
use super::check::Checker;
use super::error::ProgramError;
use super::field::{Field, Names};
use super::glob::{self, Glob};
use super::parse::{Ast, AstKind};
use super::scope::nearest;

impl Checker<'_> {
    /// The pattern that a string field is compared with.
    pub(super) fn pattern(&self, field: &'static Field, ast: &Ast) -> Result<Glob, ProgramError> {
        let pattern = match &ast.kind {
            AstKind::Text(pattern) => pattern,
            AstKind::Name(name) => {
                let error = self.error(ast.span, format!("`{name}` needs quotes: `{}` is text", field.name));
                return Err(error.hint(format!("`{} == \"{name}\"`", field.name)));
            }
            _ => return Err(self.error(ast.span, format!("`{}` is text and compares with no number", field.name))),
        };
        let glob = Glob::parse(pattern).map_err(|error| self.error(ast.span, error.to_string()))?;
        let room = field.text_room();
        if glob.min_len() <= room {
            return Ok(glob);
        }
        let message = format!("`{}` holds at most {room} bytes, and this needs {}", field.name, glob.min_len());
        let cut = glob.is_literal().and_then(|text| String::from_utf8(text[..room].to_vec()).ok());
        Err(self.error(ast.span, message).maybe_hint(cut.map(|cut| format!("`\"{cut}\"`, as the kernel cuts it"))))
    }

    /// The values that a name, a pattern, a list of them (`"read,write*"`) or a number without a name stands for; sorted.
    pub(super) fn values(&self, field: &'static Field, names: &dyn Names, ast: &Ast) -> Result<Vec<u64>, ProgramError> {
        let all = names.all();
        let mut values = match &ast.kind {
            AstKind::Text(pattern) => {
                let mut values = Vec::new();
                for part in glob::split(pattern, b',') {
                    values.extend(self.values_of(field, &all, part.trim_ascii(), ast)?);
                }
                values
            }
            AstKind::Name(name) if self.scope.field(name).is_some() => {
                let error =
                    self.error(ast.span, format!("`{name}` is a field, and `{}` compares with a name", field.name));
                let known = all.iter().any(|(known, _)| known == name);
                return Err(if known {
                    error.hint(format!("`\"{name}\"`"))
                } else {
                    self.unnamed(field, &all, ast).err().unwrap_or(error)
                });
            }
            AstKind::Name(name) => self.values_of(field, &all, name.as_bytes(), ast)?,
            _ => vec![self.unnamed(field, &all, ast)?],
        };
        values.sort_unstable();
        values.dedup();
        Ok(values)
    }

    fn values_of(&self, field: &Field, all: &Named, pattern: &[u8], ast: &Ast) -> Result<Vec<u64>, ProgramError> {
        let glob = Glob::parse(pattern).map_err(|error| self.error(ast.span, error.to_string()))?;
        let values: Vec<u64> =
            all.iter().filter(|(name, _)| glob.matches(name.as_bytes())).map(|(_, value)| *value).collect();
        if !values.is_empty() {
            return Ok(values);
        }
        let Some(literal) = glob.is_literal() else {
            let message = format!("no name of `{}` matches `{}`", field.name, String::from_utf8_lossy(pattern));
            return Err(self.error(ast.span, message));
        };
        let name = String::from_utf8_lossy(&literal);
        // What the report prints for a value without a name can be typed.
        if let Ok(value) = name.parse::<u64>() {
            return Ok(vec![value]);
        }
        let error = self.error(ast.span, format!("`{name}` is no name of `{}`", field.name));
        let near = nearest(&name, all.iter().map(|(known, _)| known)).map(|near| format!("`{near}`"));
        let longer = || all.iter().any(|(known, _)| known.starts_with(&*name)).then(|| format!("`\"{name}*\"`"));
        Err(error.maybe_hint(near.or_else(longer)))
    }

    /// Numbers of names differ from machine to machine, so only a number without a name may stand for itself.
    fn unnamed(&self, field: &Field, all: &Named, ast: &Ast) -> Result<u64, ProgramError> {
        let wrong = || self.error(ast.span, format!("`{}` compares with a name, not with a number", field.name));
        let Some(value) = self.number(ast)?.as_const() else {
            return Err(wrong().maybe_hint(all.first().map(|(name, _)| format!("`{} == {name}`", field.name))));
        };
        match all.iter().find(|(_, known)| *known == value) {
            Some((name, _)) => Err(wrong().hint(format!("`{name}`"))),
            None => Ok(value),
        }
    }
}

type Named = [(std::borrow::Cow<'static, str>, u64)];
