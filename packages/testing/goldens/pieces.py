"""
Makes pieces.json: vectors of the pieces of a text, by the real libraries.

    python3 pieces.py MODELS > pieces.json

MODELS is the folder with the golden models. Needs torch, transformers and sentence-transformers. Pieces are as many
sentences as fit, counted with the tokenizer of the model. `late` has the mean of the token vectors of each piece, after
the encoder has read the whole text (late chunking), with the modules that follow pooling; `mean` has the mean of the
vectors of the pieces, each embedded alone, weighted by their tokens.
"""

import json
import re
import sys

import torch
from sentence_transformers import SentenceTransformer

TEXT = (
    "The ship went on, and nobody slept. She was old! Her men sang.\n\nThen the wind fell. It was quiet. "
    "Did they know where they were?"
)
MAX_TOKENS = 26
MODELS = ["tiny-nomic", "tiny-modernbert-mean", "tiny-jina3", "tiny-t5"]


def pack(tokenizer, text):
    """Offsets of pieces: sentences joined while they fit, special tokens included."""
    sentences = [(m.start(), m.end()) for m in re.finditer(r"\S[^.!?]*[.!?]", text)]
    pieces = []
    for start, end in sentences:
        longer = text[pieces[-1][0] : end] if pieces else ""
        if pieces and len(tokenizer(longer)["input_ids"]) <= MAX_TOKENS:
            pieces[-1] = (pieces[-1][0], end)
        else:
            pieces.append((start, end))
    return pieces


def finish(model, sentence_embedding):
    """What follows pooling."""
    features = {"sentence_embedding": sentence_embedding}
    for module in list(model)[2:]:
        features = module(features)
    return features["sentence_embedding"]


def golden(name, folder):
    model = SentenceTransformer(f"{folder}/{name}", device="cpu", trust_remote_code=False)
    model.eval()
    tokenizer = model.tokenizer
    pieces = pack(tokenizer, TEXT)
    encoded = tokenizer(TEXT, return_offsets_mapping=True, return_tensors="pt", return_special_tokens_mask=True)
    offsets = encoded.pop("offset_mapping")[0].tolist()
    special = encoded.pop("special_tokens_mask")[0].tolist()
    assert len(offsets) <= model.max_seq_length, (name, len(offsets))
    with torch.no_grad():
        tokens = list(model)[0](dict(encoded))["token_embeddings"][0]
        # A token belongs to the piece in which its last character is: some begin with the space before.
        spans = [
            [i for i, (_, to) in enumerate(offsets) if not special[i] and start < to <= end] for start, end in pieces
        ]
        late = finish(model, torch.stack([tokens[span].mean(0) for span in spans]))
        alone = torch.from_numpy(model.encode([TEXT[start:end] for start, end in pieces], prompt=""))
        counts = [len(tokenizer(TEXT[start:end], add_special_tokens=False)["input_ids"]) for start, end in pieces]
        weights = torch.tensor(counts, dtype=torch.float32)
        mean = (alone * weights[:, None]).sum(0) / weights.sum()
        if any(type(module).__name__ == "Normalize" for module in model):
            mean = torch.nn.functional.normalize(mean, dim=0)
    return {
        "model": name,
        "maxTokens": MAX_TOKENS,
        "pieces": [
            {"start": start, "end": end, "tokens": count, "late": [round(x, 7) for x in vector.tolist()]}
            for (start, end), count, vector in zip(pieces, counts, late)
        ],
        "mean": [round(x, 7) for x in mean.tolist()],
    }


def main():
    cases = [golden(name, sys.argv[1]) for name in MODELS]
    lines = ",\n".join(f"    {json.dumps(case)}" for case in cases)
    print('{\n  "text": %s,\n  "cases": [\n%s\n  ]\n}' % (json.dumps(TEXT), lines))


main()
