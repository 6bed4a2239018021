"""Does the built-in model answer with the right sentence, and cite the passage it stands in?

    python evals/answers.py DATA_DIR [--language en] [--json] [--show N]

DATA_DIR holds ``retrieval/xquad.LANGUAGE.json`` (SQuAD's format). Every paragraph is a document of one index, searched
as the service searches; the model sees the passages alone. An answer is right when it contains a gold span (lower case,
without punctuation and articles, as in SQuAD's own script), a citation when it names the paragraph the question was
written for. Each question is also asked with all paragraphs of its article withheld, when nothing can answer it. The
baselines in the same run: the first sentence of the best passage, and the sentence whose cosine is highest.
"""

import argparse
import asyncio
import json
import re
import string
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from evals.retrieval import PRINCIPAL, Corpus
from evals.retrieval_sets import Passage as Paragraph
from evals.retrieval_sets import QuestionSet
from models.extractive import ExtractiveModel
from models.extractive.sentences import quotable
from models.extractive.words import word_count
from models.messages import Message, ModelRequest, Passage
from retrieval.documents import Source
from retrieval.embedding.factory import DEFAULT_EMBEDDER, open_embedder
from retrieval.embedding.port import Embedder
from retrieval.retriever import Retriever
from retrieval.vectors.edge import EdgeStore

LIMIT = 6
DEPTH = 30
_CITATION = re.compile(r"\s*\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Question:
    """A question, its accepted spans, and the paragraph and article that they stand in."""

    text: str
    spans: Sequence[str]
    paragraph: str
    article: str


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer without its marks, and the paragraphs that it cites, in order."""

    text: str
    cited: Sequence[str]
    seconds: float = 0.0


def load(path: Path) -> tuple[list[Paragraph], list[Question]]:
    """The paragraphs and the questions of a file in SQuAD's format."""
    paragraphs: list[Paragraph] = []
    questions: list[Question] = []
    for a, article in enumerate(json.loads(path.read_text(encoding="utf-8"))["data"]):
        for p, given in enumerate(article["paragraphs"]):
            key = f"{a}/{p}"
            paragraphs.append(Paragraph(key, "", given["context"]))
            questions += [
                Question(qa["question"], [answer["text"] for answer in qa["answers"]], key, str(a))
                for qa in given["qas"]
            ]
    return paragraphs, questions


def normalised(text: str) -> str:
    """Lower case, no punctuation, no articles, single spaces."""
    kept = "".join(sign for sign in text.lower() if sign not in string.punctuation)
    return " ".join(re.sub(r"\b(?:a|an|the)\b", " ", kept).split())


async def ask(model: ExtractiveModel, question: str, sources: Sequence[Source]) -> Reply:
    """The model's answer from these sources."""
    started = time.perf_counter()
    request = ModelRequest(messages=(Message(role="user", content=question),), passages=_passages(sources))
    text = "".join([item async for item in model.stream(request) if isinstance(item, str)])
    cited = [sources[int(label) - 1].uri for label in _CITATION.findall(text)]
    return Reply(_CITATION.sub("", text), cited, time.perf_counter() - started)


async def best_cosine(embedder: Embedder, question: str, sources: Sequence[Source]) -> Reply:
    """The sentence of any source that is closest to the question."""
    sentences = quotable(_passages(sources))
    vectors = await embedder.embed([question, *(sentence.text for sentence in sentences)])
    best = sentences[int((vectors[1:] @ vectors[0]).argmax())]
    return Reply(best.text, [sources[best.label - 1].uri])


def first_sentence(sources: Sequence[Source]) -> Reply:
    """The sentence that the best source opens with."""
    return Reply(quotable(_passages(sources[:1]))[0].text, [sources[0].uri])


def scores(questions: Sequence[Question], replies: Sequence[Reply]) -> dict[str, float]:
    """What the replies are worth; words and sentences are means over those that answer."""
    answered = [reply for reply in replies if reply.cited]
    pairs = list(zip(questions, replies, strict=True))
    held = [any(normalised(span) in normalised(reply.text) for span in q.spans) for q, reply in pairs]
    share = 1 / len(pairs)
    return {
        "contains": share * sum(held),
        "first cited": share * sum(reply.cited[:1] == [q.paragraph] for q, reply in pairs),
        "any cited": share * sum(q.paragraph in reply.cited for q, reply in pairs),
        "sentences": sum(len(reply.cited) for reply in answered) / max(1, len(answered)),
        "words": sum(word_count(reply.text) for reply in answered) / max(1, len(answered)),
        "refused": share * sum(not reply.cited for reply in replies),
        "ms": 1000 * share * sum(reply.seconds for reply in replies),
    }


def _passages(sources: Sequence[Source]) -> tuple[Passage, ...]:
    return tuple(
        Passage(label=i, title=source.title, text=source.readable, heading_path=source.heading_path, uri=source.uri)
        for i, source in enumerate(sources, 1)
    )


async def measure(path: Path, embedder: Embedder, store: EdgeStore, show: int) -> dict[str, dict[str, float]]:
    """The table of one file: a row a method."""
    paragraphs, questions = load(path)
    corpus = Corpus(
        QuestionSet(name="answers", corpus=paragraphs, questions=(), metrics=("recall@5",)), embedder, store
    )
    await corpus.index()
    retriever = Retriever(embedder=embedder, store=store, record=corpus)
    model = ExtractiveModel(embedder.embed)
    replies: dict[str, list[Reply]] = {"first sentence": [], "best cosine": [], "extractive": [], "withheld": []}
    for question in questions:
        found = await retriever.search(question.text, principal=PRINCIPAL, collection="answers", limit=DEPTH)
        sources = found[:LIMIT]
        elsewhere = [source for source in found if source.uri.partition("/")[0] != question.article][:LIMIT]
        replies["first sentence"].append(first_sentence(sources))
        replies["best cosine"].append(await best_cosine(embedder, question.text, sources))
        replies["extractive"].append(await ask(model, question.text, sources))
        replies["withheld"].append(await ask(model, question.text, elsewhere))
        reply = replies["extractive"][-1]
        if show > 0 and not any(normalised(span) in normalised(reply.text) for span in question.spans):
            show -= 1
            print(f"{question.text} | {question.spans[0]} | {reply.text}\n")
    return {name: scores(questions, given) for name, given in replies.items()}


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--language", default="en")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--show", type=int, default=0, help="print so many questions whose answer misses")
    parser.add_argument("--cache", type=Path, default=Path(".cairn/models"), help="where the embedding model is kept")
    options = parser.parse_args()
    embedder = await open_embedder(DEFAULT_EMBEDDER, options.cache, threads=2)
    with tempfile.TemporaryDirectory() as folder:
        store = await EdgeStore.open(Path(folder))
        try:
            path = options.data / "retrieval" / f"xquad.{options.language}.json"
            table = await measure(path, embedder, store, options.show)
        finally:
            await store.aclose()
            await embedder.aclose()
    if options.json:
        print(json.dumps({"language": options.language, **table}))
        return
    columns = list(next(iter(table.values())))
    print(f"{'xquad ' + options.language:16}" + "".join(f"{column:>13}" for column in columns))
    for name, row in table.items():
        print(f"{name:16}" + "".join(f"{row[column]:13.3f}" for column in columns))


if __name__ == "__main__":
    asyncio.run(main())
