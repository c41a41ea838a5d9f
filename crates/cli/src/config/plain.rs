//! The group `plain`: the texts of the plain dialect.

use super::setting::Visitor;
use fanwire_protocol::{TemplateTexts, Templates};

pub(super) fn visit(texts: &mut TemplateTexts, visitor: &mut impl Visitor) {
    visitor.setting("plain.broadcast", &mut texts.broadcast, fits(|texts| &mut texts.broadcast));
    visitor.setting("plain.reply", &mut texts.reply, fits(|texts| &mut texts.reply));
    visitor.setting("plain.reply_text", &mut texts.reply_text, fits(|texts| &mut texts.reply_text));
    visitor.setting("plain.error", &mut texts.error, fits(|texts| &mut texts.error));
    visitor.setting("plain.no_content", &mut texts.no_content, fits(|texts| &mut texts.no_content));
}

/// The rule that the dialect takes a text in its `place` among the others.
fn fits(place: impl Fn(&mut TemplateTexts) -> &mut String) -> impl Fn(&String) -> Option<String> {
    move |text| {
        let mut texts = TemplateTexts::default();
        place(&mut texts).clone_from(text);
        Templates::new(&texts).err().map(|invalid| invalid.problem.to_string())
    }
}
