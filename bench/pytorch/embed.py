"""Embeds texts with PyTorch and transformers: mean pooling, normalized.

The first line is a JSON object {"config", "tokenizer", "weights", "precision", "threads"}: config.json, the text of tokenizer.json, base64 of
model.safetensors, "float32", "bfloat16" or "int8". The answer is {}. Each further line is an array of texts; the answer is base64 of float32, a row a text.
"""
import base64
import json
import sys

import torch
from safetensors.torch import load
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModel

BATCH = 32


def prepare(first):
    torch.set_num_threads(first["threads"])
    config = dict(first["config"])
    model = AutoModel.from_config(AutoConfig.for_model(config.pop("model_type"), **config))
    missing = model.load_state_dict(load(base64.b64decode(first["weights"])), strict=False).missing_keys
    missing = [name for name in missing if not name.startswith("pooler.") and not name.endswith("position_ids")]
    if missing:
        raise ValueError(f"The weights lack {missing}.")
    model.eval()
    if first["precision"] == "bfloat16":
        model = model.to(torch.bfloat16)
    if first["precision"] == "int8":
        model = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
    tokenizer = Tokenizer.from_str(first["tokenizer"])
    tokenizer.enable_truncation(config["max_position_embeddings"])
    tokenizer.enable_padding(pad_id=config["pad_token_id"])
    return model, tokenizer


def embed(model, tokenizer, texts):
    order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
    rows = [None] * len(texts)
    for start in range(0, len(texts), BATCH):
        places = order[start : start + BATCH]
        encoded = tokenizer.encode_batch([texts[place] for place in places])
        ids = torch.tensor([each.ids for each in encoded])
        mask = torch.tensor([each.attention_mask for each in encoded])
        tokens = model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        weights = mask.unsqueeze(-1).float()
        vectors = torch.nn.functional.normalize((tokens * weights).sum(1) / weights.sum(1))
        for place, vector in zip(places, vectors):
            rows[place] = vector
    return torch.stack(rows)


def main():
    with torch.inference_mode():
        model, tokenizer = prepare(json.loads(sys.stdin.readline()))
        print("{}", flush=True)
        for line in sys.stdin:
            vectors = embed(model, tokenizer, json.loads(line))
            print(base64.b64encode(vectors.numpy().tobytes()).decode(), flush=True)


main()
