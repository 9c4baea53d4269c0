"""How notebooks use Opik: configured first, everything by way of the package's own name."""

import opik
from opik import Attachment, PromptType, project_context

opik.configure(use_local=True)

client: opik.Opik = opik.Opik(project_name="notebook")


@opik.track
def shout(text: str) -> str:
    opik.opik_context.update_current_trace(tags=["loud"])
    opik.update_current_span(metadata={"volume": 11})
    return text.upper()


with project_context("notebook"):
    assert shout("hello") == "HELLO"
opik.flush_tracker()
(found,) = client.search_traces(project_name="notebook")
assert list(found.tags) == ["loud"]

trace: opik.Trace = client.trace(
    name="by hand",
    input={"q": "?"},
    attachments=[Attachment(data=b"abc", file_name="a.txt", content_type="text/plain")],
)
span: opik.Span = trace.span(name="inside", type="tool")
span.end()
trace.end(output={"a": "!"})

prompt = client.create_prompt(name="greeting", prompt="Hi {{ name|upper }}", type=PromptType.JINJA2)
assert prompt.format(name="Ann") == "Hi ANN"
client.end()
