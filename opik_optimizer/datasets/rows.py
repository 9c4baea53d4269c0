"""What items are made of, where they are not the source's rows as they are."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from opik_eval.errors import DatasetError

if TYPE_CHECKING:
    from PIL.Image import Image

Row = Mapping[str, object]
Grid = Sequence[Sequence[int]]


def tiny_question(row: Row) -> Row:
    """Nest the context of a tiny question."""
    return {"text": row["text"], "label": row["label"], "metadata": {"context": row["context"]}}


def hallucination(row: Row) -> Row:
    """Name the columns of HaluEval by what they are."""
    return {
        "input": row["user_query"],
        "llm_output": row["chatgpt_response"],
        "expected_hallucination_label": row["hallucination"],
    }


def truthful(row: Row) -> Row:
    """Join the answers of TruthfulQA to choices, in an order that tells nothing."""
    right = cast("Sequence[str]", row["correct_answers"])
    wrong = cast("Sequence[str]", row["incorrect_answers"])
    best = cast("str", row["best_answer"])
    return {
        "question": row["question"],
        "answer": best,
        "choices": sorted({best, *right, *wrong}),
        "correct_answer": best,
        "correct_answers": list(right),
        "incorrect_answers": list(wrong),
        "category": row["category"],
        "context": row.get("source", ""),
    }


def instruction(row: Row) -> Row:
    """Give the rows of the training half of IFBench the column ``prompt`` that its tests have.

    Example:
        >>> instruction({"messages": [{"role": "user", "content": "Write in capitals."}]})["prompt"]
        'Write in capitals.'
    """
    messages = cast("Sequence[Mapping[str, str]]", row.get("messages") or ())
    asked = [message["content"] for message in messages if message["role"] == "user"]
    return {"prompt": asked[-1], **row} if asked and "prompt" not in row else row


def puzzles(rows: Iterable[Row]) -> Iterator[Row]:
    """Join the rows of an ARC-AGI task, one for each of its tests, and write the grids as text.

    Two forms are read: ARC's own ``train`` and ``test`` (whose outputs ``test_outputs`` repeats),
    and ``training_examples``, ``test_inputs``, ``test_outputs``.
    """
    tasks: dict[object, dict[str, list[object]]] = {}
    for row in rows:
        key = row.get("task_id") or str(row["id"]).partition("__test_")[0]
        task = tasks.setdefault(key, {"train": [], "inputs": [], "outputs": []})
        task["train"] = _listed(row, "training_examples", "train")
        pairs = cast("Sequence[Mapping[str, object]]", _listed(row, "test"))
        task["inputs"] += [p["input"] for p in pairs] or _listed(row, "test_inputs")
        task["outputs"] += [p["output"] for p in pairs] or _listed(row, "test_outputs")
    for key, task in tasks.items():
        yield _puzzle(str(key), task)


def _puzzle(task_id: str, task: Mapping[str, list[object]]) -> Row:
    examples = cast("Sequence[Mapping[str, Grid]]", task["train"])
    inputs = cast("Sequence[Grid]", task["inputs"])
    shown = [
        f"Example {n}\ninput:\n{grid_text(e['input'])}\noutput:\n{grid_text(e['output'])}"
        for n, e in enumerate(examples, start=1)
    ]
    asked = [f"Test {n}\ninput:\n{grid_text(grid)}" for n, grid in enumerate(inputs, start=1)]
    shapes = [
        f"example {n}: {_shape(e['input'])} to {_shape(e['output'])}"
        for n, e in enumerate(examples, start=1)
    ]
    return {
        "task_id": task_id,
        "training_examples": task["train"],
        "test_inputs": task["inputs"],
        "test_outputs": task["outputs"],
        "training_examples_text": "\n\n".join(shown),
        "test_inputs_text": "\n\n".join(asked),
        "shape_summary": "\n".join(
            [*shapes, *(f"test {n}: {_shape(g)}" for n, g in enumerate(inputs, start=1))]
        ),
    }


def grid_text(grid: Grid) -> str:
    r"""Return a grid as lines of numbers.

    Example:
        >>> grid_text([[0, 1], [2, 3]])
        '0 1\n2 3'
    """
    return "\n".join(" ".join(map(str, line)) for line in grid)


def _shape(grid: Grid) -> str:
    return f"{len(grid)} x {len(grid[0]) if grid else 0}"


def _listed(row: Row, *names: str) -> list[object]:
    found = next((row[name] for name in names if row.get(name)), ())
    return list(cast("Sequence[object]", found))


def road_scene(row: Row, *, max_image_size: tuple[int, int] | None, image_quality: int) -> Row:
    """Write the picture of a road as a ``data:`` URL, small enough for a prompt."""
    kept = {name: row[name] for name in ("question_id", "question", "hazard")}
    return {**kept, "image": image_url(row["image"], max_image_size, image_quality)}


def image_url(image: object, max_size: tuple[int, int] | None, quality: int) -> str:
    """Return an image as a ``data:`` URL; one that is a text already is left alone.

    Args:
        image: A Pillow image.
        max_size: Largest width and height in pixels; ``None`` = any.
        quality: Of the JPEG, 1 to 100.

    Raises:
        DatasetError: It is no image.
    """
    if isinstance(image, str):
        return image
    if not hasattr(image, "thumbnail"):
        raise DatasetError(
            f"an image is a {type(image).__name__}", remedy="install Pillow: pip install pillow"
        )
    picture = cast("Image", image).convert("RGB")
    if max_size is not None:
        picture.thumbnail(max_size)
    encoded = io.BytesIO()
    picture.save(encoded, format="JPEG", quality=quality)
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.getvalue()).decode()}"


__all__ = [
    "grid_text",
    "hallucination",
    "image_url",
    "instruction",
    "puzzles",
    "road_scene",
    "tiny_question",
    "truthful",
]
