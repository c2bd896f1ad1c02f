"""The HTML of the stage."""

from __future__ import annotations

from html.parser import HTMLParser

from autopipe_ui.stage import drawing, idle, problem

HOSTILE = "<script>alert(1)</script> & \"'><img src=x onerror=alert(2)>"


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_texts_are_only_text() -> None:
    for html in (idle(HOSTILE), problem(HOSTILE), drawing(HOSTILE, 0.5, HOSTILE)):
        found = Tags(html)
        assert {tag for tag, _ in found.tags} <= {"div", "p", "progress"}
        assert "script>alert(1)" in found.text


def test_roles_and_progress() -> None:
    assert Tags(problem("the queue is full")).tags[0][1]["role"] == "alert"
    assert Tags(problem("the queue is full")).text == "The queue is full"
    found = dict(Tags(drawing("Step 3 of 4", 0.75, "aGk=")).tags)
    assert found["progress"]["value"] == "0.7500"
    assert found["img"]["src"] == "data:image/png;base64,aGk="
    assert "hidden" in Tags(idle()).tags[0][1]
    assert "hidden" not in Tags(idle("Cancelled.")).tags[0][1]
