"""
Makes retrieval/: a retrieval task in the layout of BEIR, and the metrics of three golden models on it, by the real
evaluators.

    python3 retrieval.py MODELS retrieval

MODELS is the folder with the golden models. Needs torch, transformers and sentence-transformers. Every fourth document
has the text of an earlier one, so that scores tie; some ids are numbers; a query was never judged, one has no relevant
document, some were judged twice, and a judged document is not in the corpus.
"""

import csv
import json
import random
import sys

from sentence_transformers import SentenceTransformer, SparseEncoder
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from sentence_transformers.sparse_encoder.evaluation import SparseInformationRetrievalEvaluator
from sentence_transformers.multi_vector_encoder.evaluation import MultiVectorInformationRetrievalEvaluator
from sentence_transformers import MultiVectorEncoder

MODELS, FOLDER = sys.argv[1:]
WORDS = "the city sea and one a of time year people world life day man house water".split()


def write():
    random.seed(7)
    ids = [10, 2, 1, 33, 4] + [f"d{i}" for i in range(40)] + ["b", "B", "é"]
    corpus = []
    for i, id in enumerate(ids):
        text = " ".join(random.choice(WORDS) for _ in range(random.randint(1, 6)))
        corpus.append({"_id": id, "title": "", "text": corpus[i - 3]["text"] if i % 4 == 3 else text})
    corpus[5]["title"] = "the sea"
    queries = []
    for i in range(14):
        queries.append({"_id": 100 + i, "text": " ".join(random.choice(WORDS) for _ in range(random.randint(1, 4)))})
    rows = []
    for i, query in enumerate(queries):
        if i == 4:
            continue
        for document in random.sample(corpus, random.randint(1, 7)):
            grade = 0 if i == 5 or random.random() < 0.2 else random.choice([1, 2])
            rows.append((query["_id"], document["_id"], grade))
    rows += rows[:3] + [(100, "not-there", 1), (999, "d1", 1)]
    for name, lines in (("corpus", corpus), ("queries", queries)):
        with open(f"{FOLDER}/{name}.jsonl", "w") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
    with open(f"{FOLDER}/qrels/test.tsv", "w") as file:
        file.write("query-id\tcorpus-id\tscore\n")
        file.writelines("%s\t%s\t%d\n" % row for row in rows)


def read(name):
    with open(f"{FOLDER}/{name}.jsonl") as file:
        rows = [json.loads(line) for line in file]
    return {str(row["_id"]): (row.get("title", "") + " " + row["text"]).strip() for row in rows}


def judgements(queries):
    relevant = {}
    with open(f"{FOLDER}/qrels/test.tsv") as file:
        for query, document, grade in list(csv.reader(file, delimiter="\t"))[1:]:
            if int(grade) > 0 and query in queries:
                relevant.setdefault(query, set()).add(document)
    return relevant


write()
queries = read("queries")
task = dict(queries=queries, corpus=read("corpus"), relevant_docs=judgements(queries), write_csv=False)
expected = {}
for name, load, evaluator in (
    ("st6-bert", SentenceTransformer, InformationRetrievalEvaluator),
    ("splade-bert-max", SparseEncoder, SparseInformationRetrievalEvaluator),
    ("late-bert", MultiVectorEncoder, MultiVectorInformationRetrievalEvaluator),
):
    metrics = evaluator(**task)(load(f"{MODELS}/{name}"))
    expected[name] = {metric: float(value) for metric, value in metrics.items() if "@" in metric}
with open(f"{FOLDER}/expected.json", "w") as file:
    json.dump(expected, file, indent=2)
    file.write("\n")
