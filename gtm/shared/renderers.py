"""How Django renders a form of Tandem's: through the same field component as every page."""

from django.forms.renderers import TemplatesSetting


class TandemFormRenderer(TemplatesSetting):
    form_template_name = "components/_form.html"
    field_template_name = "components/_field.html"
