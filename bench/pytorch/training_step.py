"""The training steps of training.ts in PyTorch: the same model folder, the same token ids, the same loss, AdamW and clipping.

Reads one JSON object a line: {"folder", "loss", "batches": [{"a": [[ids]], "b": [[ids]], "labels": [..] or null}], "threads"}; answers with one:
{"losses", "milliseconds"} of each step.
"""
import json
import math
import struct
import sys
import time

import numpy
import torch
from torch.nn.functional import cross_entropy, gelu, layer_norm, linear, normalize


def read_safetensors(path):
    with open(path, "rb") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(size))
        data = file.read()
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        begin, end = entry["data_offsets"]
        values = numpy.frombuffer(data[begin:end], dtype=numpy.float32).reshape(entry["shape"]).copy()
        tensors[name] = torch.from_numpy(values).requires_grad_()
    return tensors


def attend(q, k, v, heads, bias):
    batch, length, width = q.shape
    split = lambda x: x.reshape(batch, length, heads, width // heads).transpose(1, 2)
    scores = split(q) @ split(k).transpose(-1, -2) / math.sqrt(width // heads) + bias
    return (scores.softmax(-1) @ split(v)).transpose(1, 2).reshape(batch, length, width)


def encode_use_lite(w, config, ids, bias):
    width = config["embedding_size"]
    half = width // 2
    frequencies = torch.exp(torch.arange(half) * -(math.log(10000.0) / (half - 1)))
    angles = torch.arange(ids.shape[1]).unsqueeze(1) * frequencies
    x = w["embeddings.word_embeddings.weight"][ids] * 2 + torch.cat([angles.sin(), angles.cos()], 1)
    for i in range(config["num_hidden_layers"]):
        a, f = f"encoder.layer.{i}.attention.", f"encoder.layer.{i}.feed_forward."
        dense = lambda name, y: linear(y, w[name + ".weight"], w[name + ".bias"])
        norm = lambda name, y: layer_norm(y, y.shape[-1:], w[name + ".weight"], w[name + ".bias"], config["layer_norm_eps"])
        y = norm(a + "LayerNorm", x)
        mixed = attend(dense(a + "query", y), dense(a + "key", y), dense(a + "value", y), config["num_attention_heads"], bias)
        residual = dense(a + "residual", x) if a + "residual.weight" in w else x
        middle = dense(a + "output", mixed) + residual
        x = middle + dense(f + "output", dense(f + "intermediate", norm(f + "LayerNorm", middle)).relu())
    return x


def encode_bert(w, config, ids, bias):
    norm = lambda name, y: layer_norm(y, y.shape[-1:], w[name + ".weight"], w[name + ".bias"], config["layer_norm_eps"])
    dense = lambda name, y: linear(y, w[name + ".weight"], w[name + ".bias"])
    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][: ids.shape[1]]
    x = norm("embeddings.LayerNorm", x + w["embeddings.token_type_embeddings.weight"][0])
    for i in range(config["num_hidden_layers"]):
        p = f"encoder.layer.{i}."
        q, k, v = (dense(p + "attention.self." + name, x) for name in ("query", "key", "value"))
        mixed = dense(p + "attention.output.dense", attend(q, k, v, config["num_attention_heads"], bias))
        x = norm(p + "attention.output.LayerNorm", mixed + x)
        x = norm(p + "output.LayerNorm", dense(p + "output.dense", gelu(dense(p + "intermediate.dense", x))) + x)
    return x


def prepare(folder):
    with open(folder + "/config.json") as file:
        config = json.load(file)
    w = read_safetensors(folder + "/model.safetensors")
    use_lite = config["model_type"] == "universal-sentence-encoder-lite"
    head = read_safetensors(folder + "/2_Dense/model.safetensors") if use_lite else {}

    def embed(texts):
        length = max(len(text) for text in texts)
        ids = torch.tensor([text + [0] * (length - len(text)) for text in texts])
        mask = torch.tensor([[1.0] * len(text) + [0.0] * (length - len(text)) for text in texts])
        bias = (1 - mask)[:, None, None, :] * -1e9
        tokens = (encode_use_lite if use_lite else encode_bert)(w, config, ids, bias)
        pooled = (tokens * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
        return normalize(torch.tanh(linear(pooled, head["linear.weight"], head["linear.bias"])) if use_lite else pooled)

    return embed, [p for name, p in [*w.items(), *head.items()] if not name.startswith("pooler.")]


def main():
    for line in sys.stdin:
        request = json.loads(line)
        torch.set_num_threads(request["threads"])
        embed, parameters = prepare(request["folder"])
        matrices = [p for p in parameters if p.dim() > 1]
        vectors = [p for p in parameters if p.dim() == 1]
        optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}], lr=1e-5)
        losses, milliseconds = [], []
        for batch in request["batches"]:
            start = time.perf_counter()
            optimizer.zero_grad()
            count = len(batch["a"])
            both = embed(batch["a"] + batch["b"])
            a, b = both[:count], both[count:]
            if batch["labels"] is None:
                loss = cross_entropy(a @ b.T * 20, torch.arange(count))
            else:
                loss = (((a * b).sum(1) - torch.tensor(batch["labels"])) ** 2).mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            losses.append(loss.item())
            milliseconds.append((time.perf_counter() - start) * 1000)
        print(json.dumps({"losses": losses, "milliseconds": milliseconds}), flush=True)


main()
