"""The template language: what readers of several locales and zones see, and that nothing slips through unescaped."""

import datetime as dt
import xml.etree.ElementTree as ET
from decimal import Decimal

import pytest
from django import forms
from django.template import Context, Template
from django.test import RequestFactory
from django.utils import timezone, translation
from django.utils.safestring import mark_safe

from gtm.shared import charts, statuses
from gtm.shared.renderers import TandemFormRenderer
from gtm.shared.templatetags import tandem

AFTERNOON = dt.datetime(2026, 3, 12, 14, 5, tzinfo=dt.UTC)
NBSP = "\u00a0"


def render(source: str, **values: object) -> str:
    return Template(source).render(Context(values))


def render_at(address: str, source: str) -> str:
    return render(source, request=RequestFactory().get(address))


class TestMoney:
    def test_it_writes_minor_units_for_the_reader(self) -> None:
        assert render('{{ 123456|money:"USD" }}') == "$1,234.56"
        with translation.override("de"):
            assert render('{{ 123456|money:"EUR" }}') == f"1.234,56{NBSP}€"

    def test_it_knows_currencies_without_cents(self) -> None:
        assert render('{{ 500|money:"JPY" }}') == "¥500"

    def test_it_writes_a_dash_for_an_unknown_amount(self) -> None:
        assert render('{{ nothing|money:"USD" }}', nothing=None) == "–"

    def test_list_prices_lose_empty_places_only(self) -> None:
        assert render('{{ 4900|price:"USD" }} {{ 4950|price:"USD" }} {{ 500|price:"JPY" }}') == "$49 $49.50 ¥500"
        with translation.override("de"):
            assert render('{{ 120000|price:"EUR" }}') == f"1.200{NBSP}€"

    def test_rates_keep_every_place_they_have(self) -> None:
        assert render('{{ rate|unit_price:"USD" }}', rate=Decimal("0.2")) == "$0.002"
        assert render('{{ rate|unit_price:"USD" }}', rate=Decimal("1000.000000000000")) == "$10.00"
        assert render('{{ rate|unit_price:"JPY" }}', rate=Decimal("0.5")) == "¥0.5"


class TestNumbers:
    @pytest.mark.parametrize(
        ("language", "expected"), [("en", "12,000.5 84.2%"), ("de", f"12.000,5 84,2{NBSP}%"), ("id", "12.000,5 84,2%")]
    )
    def test_they_are_grouped_for_the_reader(self, language: str, expected: str) -> None:
        with translation.override(language):
            assert render("{{ n|quantity }} {{ r|percent }}", n=Decimal("12000.500"), r=Decimal("0.842")) == expected

    def test_percent_shows_no_more_places_than_asked(self) -> None:
        assert render("{{ r|percent:0 }} {{ r|percent:2 }}", r=Decimal("0.19005")) == "19% 19%"
        assert render("{{ r|percent:2 }}", r=Decimal("0.1901")) == "19.01%"

    def test_a_share_of_nothing_is_unknown(self) -> None:
        assert tandem.share(5, 0) is None
        assert tandem.share(5, None) is None
        assert tandem.share(842, 1000) == Decimal("0.842")

    @pytest.mark.parametrize(
        ("used", "tone"), [(799, "normal"), (800, "caution"), (999, "caution"), (1000, "negative"), (1318, "negative")]
    )
    def test_usage_changes_its_tone_at_80_and_100_percent(self, used: int, tone: str) -> None:
        assert tandem.usage_tone(tandem.share(used, 1000)) == tone

    def test_a_bar_stays_within_its_track_in_every_locale(self) -> None:
        with translation.override("de"):
            assert render("{{ r|bar_width }}", r=Decimal("0.8425")) == "84.25%"
        assert tandem.bar_width(Decimal("1.3")) == "100.00%"
        assert tandem.bar_width(Decimal("-1")) == "0.00%"


class TestTimes:
    def test_an_instant_carries_its_zone(self) -> None:
        expected = f'<time datetime="2026-03-12T14:05:00+00:00">Mar 12, 2026, 2:05{NBSP}PM UTC</time>'
        assert render("{% when at %}", at=AFTERNOON) == expected

    def test_it_is_told_in_the_zone_asked_for(self) -> None:
        assert tandem.when_text(AFTERNOON, "Asia/Jakarta") == f"Mar 12, 2026, 9:05{NBSP}PM UTC+7"
        assert tandem.when_text(AFTERNOON, "Asia/Kolkata") == f"Mar 12, 2026, 7:35{NBSP}PM UTC+5:30"
        assert tandem.when_text(AFTERNOON, "America/New_York") == f"Mar 12, 2026, 10:05{NBSP}AM EDT"

    def test_it_is_told_in_the_readers_zone_and_language(self) -> None:
        with translation.override("de"), timezone.override("Europe/Berlin"):
            assert tandem.when_text(AFTERNOON) == "12.03.2026, 15:05 MEZ"

    def test_a_day_depends_on_the_zone_for_instants_only(self) -> None:
        evening = dt.datetime(2026, 3, 12, 23, 30, tzinfo=dt.UTC)
        assert render('{{ at|day:"Asia/Jakarta" }}', at=evening) == '<time datetime="2026-03-13">Mar 13, 2026</time>'
        assert render("{{ d|day }}", d=evening.date()) == '<time datetime="2026-03-12">Mar 12, 2026</time>'

    def test_the_absent_is_a_dash(self) -> None:
        assert render("{% when none %}{{ none|day }}{{ none|when_text }}", none=None) == "–––"

    def test_a_half_open_period_names_its_first_and_last_day(self) -> None:
        start, end = dt.datetime(2026, 1, 31, 23, tzinfo=dt.UTC), dt.datetime(2026, 2, 28, 23, tzinfo=dt.UTC)
        assert tandem.period(start, end, tz="Europe/Berlin").replace("\u2009", " ") == "Feb 1 – 28, 2026"

    def test_a_period_of_one_day_is_a_day(self) -> None:
        start = dt.datetime(2026, 2, 1, tzinfo=dt.UTC)
        assert tandem.period(start, start + dt.timedelta(days=1)) == "Feb 1, 2026"
        assert tandem.period(start, start) == "Feb 1, 2026"


class TestStatusBadge:
    def test_it_says_the_word_and_not_only_the_color(self) -> None:
        expected = '<span class="status" data-tone="caution">Past due</span>'
        assert render('{% status_badge "past_due" %}') == expected

    def test_an_unknown_code_is_shown_as_it_is_escaped(self) -> None:
        assert "&lt;b&gt;" in render("{% status_badge code %}", code="<b>")

    def test_every_tone_is_one_the_stylesheet_knows(self) -> None:
        tones = {"positive", "caution", "negative", "accent", "pending", "neutral"}
        assert {tone for _word, tone in statuses.STATUSES.values()} <= tones


class TestAddresses:
    def test_other_parameters_are_kept_and_the_place_in_the_list_is_not(self) -> None:
        address = render_at("/crm/?q=a%26b&owner=me&page=3", '{% query_with owner=None status="open" %}')
        assert address == "?q=a%26b&amp;status=open"

    def test_a_page_can_be_asked_for(self) -> None:
        assert render_at("/crm/?q=x", "{% query_with page=2 %}") == "?q=x&amp;page=2"

    def test_sorting_turns_round(self) -> None:
        assert render_at("/crm/", '{% sort_url "name" %} {% sort_state "name" %}') == "?sort=name none"
        assert render_at("/crm/?sort=name", '{% sort_url "name" %} {% sort_state "name" %}') == "?sort=-name ascending"
        assert render_at("/crm/?sort=-name", '{% sort_url "name" %} {% sort_state "name" %}') == "?sort=name descending"


class TestCharts:
    def test_they_are_well_formed_and_named(self) -> None:
        for svg in (
            charts.sparkline([1, 5, 3], label='A "b"', limit=4),
            charts.bars([("<Mon>", 2)], label="Calls", limit=4),
        ):
            assert ET.fromstring(svg).get("aria-label")  # noqa: S314 our own output

    def test_they_carry_no_styles_that_a_content_policy_would_stop(self) -> None:
        assert "style=" not in charts.sparkline([1, 2], label="x") + charts.bars([("a", 1)], label="x")

    def test_nothing_to_draw_draws_nothing(self) -> None:
        assert charts.sparkline([7], label="x") == ""
        assert charts.bars([], label="x") == ""

    def test_only_zeros_are_a_flat_line(self) -> None:
        assert 'points="0.0,23.0 100.0,23.0"' in charts.sparkline([0, 0], label="x")


class Order(forms.Form):
    default_renderer = TandemFormRenderer

    seats = forms.IntegerField(min_value=1, help_text="At least one.")
    note = forms.CharField(required=False)
    interval = forms.ChoiceField(choices=[("month", "Monthly")], widget=forms.RadioSelect)
    terms = forms.BooleanField(label="I accept")


class TestForms:
    def test_a_control_is_tied_to_its_label_help_and_error(self) -> None:
        html = str(Order({"seats": "0"}))
        assert '<label for="id_seats">Seats</label>' in html
        assert 'aria-describedby="id_seats_helptext id_seats_error"' in html
        assert 'id="id_seats_helptext"' in html
        assert 'id="id_seats_error"' in html
        assert 'aria-invalid="true"' in html

    def test_choices_are_a_fieldset_and_a_tick_box_stands_in_its_label(self) -> None:
        html = str(Order())
        assert "<legend>Interval</legend>" in html
        assert '<label class="choice" for="id_terms">' in html

    def test_what_may_be_left_out_says_so(self) -> None:
        assert str(Order()).count('<span class="optional">optional</span>') == 1


class TestUsageBar:
    def rendered(self, **values: object) -> str:
        include = '{% include "components/_usage_bar.html" with label="API calls" %}'
        return " ".join(render(include, **({"resets_at": None, "unit": "", "size": ""} | values)).split())

    def test_it_says_in_words_what_the_color_says(self) -> None:
        assert "84.2% used." in self.rendered(value=842, limit=1000)
        assert "158 left." in self.rendered(value=842, limit=1000)
        assert "Limit reached." in self.rendered(value=1000, limit=1000)
        assert "Over the limit by 318." in self.rendered(value=1318, limit=1000)

    def test_without_a_limit_there_is_no_bar(self) -> None:
        html = self.rendered(value=25000, limit=None)
        assert "<svg" not in html
        assert "25,000" in html


class _Order(forms.Form):
    terms = forms.BooleanField(label=mark_safe('I agree to the <a href="/terms">terms</a>.'))
    card = forms.CharField(widget=forms.HiddenInput, error_messages={"required": "Enter your card."})


class TestWhatIsWrongWithAForm:
    def rendered(self, **typed: str) -> str:
        return render('{% include "components/_errors.html" with lead="" %}', form=_Order(typed))

    def test_a_link_to_a_field_holds_no_other_link(self) -> None:
        assert '<li><a href="#id_terms">I agree to the terms.</a></li>' in self.rendered()

    def test_a_hidden_field_is_told_of_and_leaves_no_empty_list(self) -> None:
        html = self.rendered(terms="on")
        assert "<p>Enter your card.</p>" in html
        assert "<ul" not in html
        assert self.rendered(terms="on", card="pm").strip() == ""


BLINK, GECKO = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36", "Gecko/20100101 Firefox/140.0"


@pytest.mark.parametrize(
    ("user_agent", "said"),
    [
        (f"Mozilla/5.0 (X11; Linux x86_64) {BLINK}", "Chrome, Linux"),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {BLINK} Edg/140.0", "Edge, Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile Safari/604.1", "Safari, iPhone"),
        (f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:140.0) {GECKO}", "Firefox, macOS"),
        ("curl/8.5 <script>", "curl/8.5 &lt;script&gt;"),
    ],
)
def test_browsers_are_named_as_their_owners_know_them(user_agent: str, said: str) -> None:
    assert render("{{ user_agent|browser }}", user_agent=user_agent) == said
