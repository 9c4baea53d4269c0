"""Templates: one pass, no surprises."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opik_eval.errors import PromptError
from opik_eval.prompts.template import placeholders, render

TYPES = ("mustache", "jinja2", "python")
HOLE = {"mustache": "{{ x }}", "jinja2": "{{ x }}", "python": "{x}"}
plain_text = st.text(st.characters(codec="utf-8", exclude_characters="{}\r"))
any_value = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@pytest.mark.parametrize("kind", TYPES)
@given(template=plain_text, value=st.text())
def test_a_template_without_placeholders_is_its_own_result(kind, template, value):
    """Text without braces comes back unchanged, whatever the values are."""
    assert render(template, {"x": value}, type=kind) == template
    assert placeholders(template, kind) == []


@pytest.mark.parametrize("kind", TYPES)
@settings(deadline=None)  # the first example loads a library
@given(value=st.text(), before=plain_text, after=plain_text)
def test_a_value_is_inserted_as_it_is(kind, value, before, after):
    """No character of a text value is changed or interpreted."""
    rendered = render(before + HOLE[kind] + after, {"x": value}, type=kind)
    assert rendered == before + value + after


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize(
    "value", ["{{ secret }}", "{secret}", "{% for i in x %}", "{{{{x}}}}", "{{x}}"]
)
def test_a_value_that_looks_like_a_placeholder_is_not_substituted_again(kind, value):
    """One pass: what a value holds is data."""
    assert render(HOLE[kind], {"x": value, "secret": "s"}, type=kind) == value


@pytest.mark.parametrize("kind", TYPES)
@settings(deadline=None)  # the first example loads a library
@given(value=any_value)
def test_values_that_are_no_text_become_canonical_json(kind, value):
    """None is nothing, numbers and texts are themselves, the rest is JSON."""
    rendered = render(HOLE[kind], {"x": value}, type=kind)
    if value is None:
        assert rendered == ""
    elif isinstance(value, str):
        assert rendered == value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        assert rendered == str(value)
    else:
        assert json.loads(rendered) == value


@pytest.mark.parametrize("kind", TYPES)
def test_a_missing_value_is_an_error_that_names_it_and_what_there_is(kind):
    """Strict rendering refuses placeholders without a value."""
    with pytest.raises(PromptError, match="x") as refusal:
        render(HOLE[kind], {"question": 1, "context": 2}, type=kind)
    assert "['context', 'question']" in refusal.value.message
    assert refusal.value.remedy


@pytest.mark.parametrize("kind", TYPES)
def test_a_missing_value_stays_as_it_is_where_that_is_allowed(kind):
    """Lenient rendering leaves the placeholder in place and fills the others."""
    template = HOLE[kind] + " " + HOLE[kind].replace("x", "y")
    assert render(template, {"y": 1}, type=kind, strict=False) == HOLE[kind] + " 1"


MUSTACHE = [
    ("{{x}}{{  x  }}", {"x": "a"}, "aa"),
    ("{{ user.name }}", {"user": {"name": "Ann"}}, "Ann"),
    ("{{ items[1] }}{{ items.0 }}", {"items": ["a", "b"]}, "ba"),
    ("{{ a[0].b }}", {"a": [{"b": 1}]}, "1"),
    ("{{ a.b }}", {"a.b": "key", "a": {"b": "inner"}}, "key"),
    ("{{ my key }}{{ what's up? }}", {"my key": 1, "what's up?": 2}, "12"),
    ("{{ größe }}", {"größe": "m"}, "m"),
    ('{"a": {{x}}}', {"x": {"b": [1]}}, '{"a": {"b":[1]}}'),
    ("{{{x}}}", {"x": 1}, "{1}"),
    ("{x} { } {{}} {{ }}", {"x": 1}, "{x} { } {{}} {{ }}"),
    ('{{"a": 1}}', {}, '{{"a": 1}}'),
    ("{{ x\n}}", {"x": 1}, "{{ x\n}}"),
]


@pytest.mark.parametrize(("template", "values", "expected"), MUSTACHE)
def test_mustache(template, values, expected):
    """What counts as a placeholder in a mustache template, and what it stands for."""
    assert render(template, values) == expected


@pytest.mark.parametrize(
    "template", ["{{ a.c }}", "{{ a[1] }}", "{{ b.x }}", "{{ s[0] }}", "{{ s.upper }}", "{{ n.x }}"]
)
def test_mustache_paths_never_reach_attributes(template):
    """Paths go through mappings and lists only; characters and attributes are not values."""
    with pytest.raises(PromptError, match="without a value"):
        render(template, {"a": {"b": 1}, "b": [1], "s": "text", "n": None})


@pytest.mark.parametrize("tag", ["{{#x}}", "{{/x}}", "{{^x}}", "{{> x}}", "{{! note }}", "{{& x}}"])
def test_mustache_sections_are_refused(tag):
    """A section would be sent verbatim; strict rendering says to use jinja2."""
    with pytest.raises(PromptError, match="placeholders only") as refusal:
        render(tag, {"x": 1})
    assert "jinja2" in str(refusal.value.remedy)
    assert render(tag, {"x": 1}, strict=False) == tag


PYTHON = [
    ("{x} {{x}} }}{{", {"x": 1}, "1 {x} }{"),
    ("{größe}", {"größe": 1}, "1"),
]


@pytest.mark.parametrize(("template", "values", "expected"), PYTHON)
def test_python(template, values, expected):
    """Doubled braces are braces, as in ``str.format``."""
    assert render(template, values, type="python") == expected
    assert template.format(**values) == expected


@pytest.mark.parametrize(
    "template", ["{x.real}", "{x[0]}", "{x!r}", "{x:>9}", "{}", "{0}", "{", "}"]
)
def test_python_attributes_indices_and_formats_are_refused(template):
    """Nothing but plain names, so a template cannot reach into objects."""
    with pytest.raises(PromptError, match="single"):
        render(template, {"x": 1}, type="python")
    assert render(template, {"x": 1}, type="python", strict=False) == template


JINJA = [
    ("{% if x %}yes{% else %}no{% endif %}", {"x": ""}, "no"),
    ("{% for i in x %}{{ i }},{% endfor %}", {"x": [1, None, True]}, "1,,true,"),
    ("{{ x.name }} {{ x['name'] }}", {"x": {"name": "Ann"}}, "Ann Ann"),
    ("{{ x }}\n", {"x": "<b>"}, "<b>\n"),
    ("{{ x | upper }}", {"x": "ab"}, "AB"),
    ("{% if y is defined %}y{% endif %}{{ x }}", {"x": 1}, "1"),
]


@pytest.mark.parametrize(("template", "values", "expected"), JINJA)
def test_jinja2(template, values, expected):
    """The jinja2 language works, without escaping."""
    assert render(template, values, type="jinja2") == expected


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ x.append(1) }}", "not safely callable|unsafe"),
        ("{% if %}", "line 1"),
        ("{{ x | nosuchfilter }}", "nosuchfilter"),
        ("{{ 1 + 'a' }}", "TypeError"),
        ("{{ x.y.z }}", "not there"),
    ],
)
def test_jinja2_failures_are_prompt_errors(template, problem):
    """Unsafe, malformed and failing templates say what is wrong."""
    with pytest.raises(PromptError, match=problem):
        render(template, {"x": []}, type="jinja2")


@pytest.mark.parametrize(
    ("kind", "template", "names"),
    [
        ("mustache", "{{b}} {{ a.x }} {{b}} {{ c[0] }} {{# d }} {{}}", ["b", "a.x", "c[0]"]),
        ("python", "{b} {{c}} {a} {b}", ["b", "a"]),
        (
            "jinja2",
            "{% set own = b %}{{ own }}{% for i in items %}{{ i }}{{ a.x }}{% endfor %}{{ b }}",
            ["b", "items", "a"],
        ),
    ],
)
def test_placeholders_are_listed_once_in_order(kind, template, names):
    """Each name once, in the order of appearance."""
    assert placeholders(template, kind) == names


def test_placeholders_of_a_malformed_jinja2_template_are_refused():
    """Listing names needs a template that can be parsed."""
    with pytest.raises(PromptError, match="line 1"):
        placeholders("{% for %}", "jinja2")


@given(names=st.lists(st.from_regex(r"[a-z]\w{0,5}", fullmatch=True), unique=True))
def test_the_listed_placeholders_are_what_rendering_needs(names):
    """Giving a value to each listed placeholder is enough to render, and no name is left over."""
    template = " ".join(f"{{{{ {name} }}}}" for name in names)
    assert placeholders(template) == names
    assert render(template, dict.fromkeys(names, "v")) == " ".join("v" for _ in names)


def test_an_unknown_type_is_refused_with_the_known_ones():
    """A typo in ``type`` names the choices."""
    with pytest.raises(PromptError, match="no template type 'fstring'") as refusal:
        render("", {}, type="fstring")
    assert "jinja2" in str(refusal.value.remedy)
