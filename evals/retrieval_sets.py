"""Loads question sets for `evals/retrieval.py`: each a corpus, questions, and the documents that answer them."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Passage:
    """A document of a corpus."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question and its relevant documents, each with its grade (1 where the set has none)."""

    text: str
    relevant: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionSet:
    """A corpus with questions.

    Attributes:
        metrics: Names from `evals.retrieval_metrics.METRICS`; the first is the one that is compared.
        language: Language of the corpus, for BM25.
    """

    name: str
    corpus: Sequence[Passage]
    questions: Sequence[Question]
    metrics: Sequence[str]
    language: str = "english"


def load_sets(folder: Path) -> Iterator[QuestionSet]:
    """Every set that the folder, or a folder in it, holds in a format that is known."""
    for path in sorted([folder, *(p for p in folder.rglob("*") if p.is_dir())]):
        for load in (_stories, _judged):
            if (found := load(path)) is not None:
                yield found
        for corpus in sorted(path.glob("*_corpus.json")):
            yield _multi_hop(corpus)
        for squad in sorted(path.glob("xquad.*.json")):
            yield _squad(squad)


def _stories(folder: Path) -> QuestionSet | None:
    """Customers' stories (tau2-bench): `documents.jsonl`, and `tasks.json` with `required_documents`."""
    if not (folder / "tasks.json").is_file() or not (folder / "documents.jsonl").is_file():
        return None
    tasks = json.loads((folder / "tasks.json").read_text())
    questions = [
        Question(task["user_scenario"]["instructions"], dict.fromkeys(task["required_documents"], 1.0))
        for task in tasks
        if task.get("required_documents")
    ]
    return QuestionSet(
        name=folder.name,
        corpus=_documents(folder),
        questions=questions,
        metrics=("recall@10", "recall@20"),
    )


def _judged(folder: Path) -> QuestionSet | None:
    """Graded judgements (Cranfield, BEIR): documents or corpus, queries, and qrels as TSV, JSON lines or JSON."""
    queries = folder / "queries.jsonl"
    judgements = next(
        (p for p in sorted(folder.rglob("*qrels*")) + sorted(folder.glob("qrels/*.tsv")) if p.is_file()), None
    )
    if not queries.is_file() or judgements is None:
        return None
    grades: dict[str, dict[str, float]] = {}
    for query, document, grade in _judgements(judgements):
        if grade > 0:
            grades.setdefault(query, {})[document] = grade
    questions = [
        Question(_first(row, "text", "query", "question"), grades[key])
        for row in _lines(queries)
        if (key := str(_first(row, "id", "_id", "query_id"))) in grades
    ]
    return QuestionSet(
        name=folder.name, corpus=_documents(folder), questions=questions, metrics=("nDCG@10", "MAP", "recall@10")
    )


def _multi_hop(corpus: Path) -> QuestionSet:
    """Multi-hop questions as HippoRAG packs them: HotpotQA and 2Wiki (title → sentences) or MuSiQue (a list)."""
    given = json.loads(corpus.read_text())
    rows = given.items() if isinstance(given, dict) else [(row["title"], row["text"]) for row in given]
    passages = [Passage(f"{title}\n{i}", title, "".join(text)) for i, (title, text) in enumerate(rows)]
    by_title: dict[str, list[Passage]] = {}
    for passage in passages:
        by_title.setdefault(passage.title, []).append(passage)

    def supporting(row: Mapping[str, Any]) -> Iterator[str]:
        if "paragraphs" in row:
            for part in row["paragraphs"]:
                if part["is_supporting"]:
                    text = part.get("paragraph_text", part.get("text"))
                    yield next(p.id for p in by_title[part["title"]] if p.text.strip() == text.strip())
        else:
            yield from (by_title[title][0].id for title, *_ in row["supporting_facts"])

    questions = [
        Question(row["question"], dict.fromkeys(supporting(row), 1.0))
        for row in json.loads(corpus.with_name(corpus.name.replace("_corpus", "")).read_text())
    ]
    return QuestionSet(
        name=corpus.stem.removesuffix("_corpus"),
        corpus=passages,
        questions=questions,
        metrics=("all@10", "all@5", "recall@5"),
    )


def _squad(path: Path) -> QuestionSet:
    """Questions about paragraphs (SQuAD, XQuAD)."""
    corpus: list[Passage] = []
    questions: list[Question] = []
    for article in json.loads(path.read_text())["data"]:
        for number, paragraph in enumerate(article["paragraphs"]):
            passage = Passage(f"{article['title']}/{number}", "", paragraph["context"])
            corpus.append(passage)
            questions += [Question(qa["question"], {passage.id: 1.0}) for qa in paragraph["qas"]]
    language = {"en": "english", "zh": "chinese", "de": "german", "es": "spanish", "ru": "russian"}
    return QuestionSet(
        name=path.stem,
        corpus=corpus,
        questions=questions,
        metrics=("P@1", "recall@5"),
        language=language.get(path.stem.rpartition(".")[2], "english"),
    )


def _documents(folder: Path) -> list[Passage]:
    path = next(p for p in (folder / "documents.jsonl", folder / "corpus.jsonl") if p.is_file())
    return [
        Passage(
            str(_first(row, "id", "_id", "doc_id")), row.get("title") or "", _first(row, "content", "text", "abstract")
        )
        for row in _lines(path)
    ]


def _judgements(path: Path) -> Iterator[tuple[str, str, float]]:
    read: Callable[[Path], Iterator[tuple[str, str, float]]] = {
        ".jsonl": _judgement_lines,
        ".json": _judgement_object,
    }.get(path.suffix, _judgement_table)
    return read(path)


def _judgement_lines(path: Path) -> Iterator[tuple[str, str, float]]:
    for row in _lines(path):
        query = str(_first(row, "query_id", "query-id", "qid"))
        document = str(_first(row, "doc_id", "corpus-id", "document_id", "docid"))
        yield query, document, float(row.get("relevance", row.get("score", row.get("grade", 1))))


def _judgement_object(path: Path) -> Iterator[tuple[str, str, float]]:
    for query, documents in json.loads(path.read_text()).items():
        graded = documents if isinstance(documents, dict) else dict.fromkeys(documents, 1)
        yield from ((query, str(document), float(grade)) for document, grade in graded.items())


def _judgement_table(path: Path) -> Iterator[tuple[str, str, float]]:
    """BEIR's three columns, or TREC's four, whose second is not used."""
    with path.open(newline="") as file:
        for row in csv.reader(file, delimiter="\t") if path.suffix == ".tsv" else (line.split() for line in file):
            if len(row) >= 3 and row[-1].lstrip("-").isdigit():
                yield row[0], row[-2], float(row[-1])


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open() as file:
        yield from (json.loads(line) for line in file if line.strip())


def _first(row: Mapping[str, Any], *keys: str) -> Any:
    return next(row[key] for key in keys if key in row)
