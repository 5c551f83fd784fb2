"""Makes gradients.json: the loss and the gradients of one training step of each golden model, by PyTorch in float64.

    PYTHONPATH=... python3 gradients.py models gradients.json

needs torch, transformers, safetensors and sentence-transformers. The step: the multiple negatives ranking loss with scale
20 and cosines, of the texts `anchors` against the texts `positives` (rows of `cases` in expected.json), without dropout.
The row of the padding token has a gradient like all others, where a text ends with that token: PyTorch would leave it out.
Of each gradient there are two numbers: its Euclidean norm, and its scalar product with cos(0), cos(1), cos(2) ...
Gradients have the names of the tensors in model.safetensors: they are saved in the place of the weights.

GTE, JinaBERT and the published layout of NomicBERT are computed here: transformers does not have them.
"""
import json
import math
import os
import sys
import tempfile

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from transformers import AutoModel

ANCHORS, POSITIVES = [1, 2, 3], [4, 5, 6]


def batch_of(texts, padding):
    length = max(len(ids) for ids in texts)
    ids = torch.tensor([text + [padding] * (length - len(text)) for text in texts])
    mask = torch.tensor([[1] * len(text) + [0] * (length - len(text)) for text in texts])
    return ids, mask


def with_padding(model):
    for module in model.modules():
        if isinstance(module, torch.nn.Embedding):
            module.padding_idx = None
    return model.double().eval()


def step(embed, cases):
    vectors = [F.normalize(embed([cases[row]["ids"] for row in rows]), dim=-1) for rows in (ANCHORS, POSITIVES)]
    scores = 20 * vectors[0] @ vectors[1].T
    loss = F.cross_entropy(scores, torch.arange(len(scores)))
    loss.backward()
    return loss.item()


def summary(gradient):
    flat = gradient.double().flatten()
    return [float(f"{x:.9g}") for x in (flat.norm(), flat @ torch.cos(torch.arange(len(flat), dtype=torch.float64)))]


def by_library(folder, cases):
    model = with_padding(SentenceTransformer(folder, device="cpu"))
    padding = model.tokenizer.pad_token_id or 0

    def embed(texts):
        ids, mask = batch_of(texts, padding)
        return model({"input_ids": ids, "attention_mask": mask})["sentence_embedding"]

    loss = step(embed, cases)
    gradients = {}
    with torch.no_grad():
        encoder = model[0].model if hasattr(model[0], "model") else model[0].auto_model
        for parameter in model.parameters():
            parameter.copy_(torch.zeros_like(parameter) if parameter.grad is None else parameter.grad)
        with tempfile.TemporaryDirectory() as saved:
            encoder.save_pretrained(saved)
            gradients.update(load_file(f"{saved}/model.safetensors"))
        for index, module in enumerate(model):
            if index > 0:
                for name, parameter in module.named_parameters():
                    gradients[f"{index}.{name}"] = parameter.clone()
    return loss, gradients


def rotate(x, frequencies):
    angles = torch.outer(torch.arange(x.shape[-2], dtype=torch.float32), frequencies).double()
    cosines, sines = torch.cat([angles, angles], -1).cos(), torch.cat([angles, angles], -1).sin()
    first, second = x.chunk(2, -1)
    return x * cosines + torch.cat([-second, first], -1) * sines


def frequencies_of(size, base):
    return 1 / base ** (torch.arange(0, size, 2, dtype=torch.float32) / size)


class Published:
    """The weights of a model whose code is not in transformers, and what its layers have in common."""

    def __init__(self, folder):
        self.config = json.load(open(f"{folder}/config.json"))
        self.weights = {n: t.double().requires_grad_() for n, t in load_file(f"{folder}/model.safetensors").items()}

    def norm(self, x, name):
        weight = self.weights[f"{name}.weight"]
        return F.layer_norm(x, weight.shape, weight, self.weights[f"{name}.bias"], self.epsilon)

    def linear(self, x, name):
        return F.linear(x, self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias"))

    def attention(self, q, k, v, mask, heads, frequencies=None, bias=0):
        q, k, v = [x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v)]
        if frequencies is not None:
            q, k = rotate(q, frequencies), rotate(k, frequencies)
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + bias
        scores = scores.masked_fill(mask[:, None, None] == 0, -1e30)
        return (scores.softmax(-1) @ v).transpose(1, 2).flatten(-2)

    def embeddings(self, ids, norm):
        x = self.weights["embeddings.word_embeddings.weight"][ids]
        types = self.weights.get("embeddings.token_type_embeddings.weight")
        return self.norm(x if types is None else x + types[0], norm)


class Gte(Published):
    def tokens(self, ids, mask):
        c = self.config
        self.epsilon, heads = c["layer_norm_eps"], c["num_attention_heads"]
        size, factor = c["hidden_size"] // heads, (c["rope_scaling"] or {}).get("factor", 1)
        frequencies = frequencies_of(size, c["rope_theta"] * factor) / factor ** (2 / size)
        x = self.embeddings(ids, "embeddings.LayerNorm")
        for n in range(c["num_hidden_layers"]):
            at = f"encoder.layer.{n}"
            attended = self.attention(*self.linear(x, f"{at}.attention.qkv_proj").chunk(3, -1), mask, heads, frequencies)
            x = self.norm(x + self.linear(attended, f"{at}.attention.o_proj"), f"{at}.attn_ln")
            up, gate = self.linear(x, f"{at}.mlp.up_gate_proj").chunk(2, -1)
            x = self.norm(x + self.linear(up * F.gelu(gate), f"{at}.mlp.down_proj"), f"{at}.mlp_ln")
        return x


class JinaBert(Published):
    def tokens(self, ids, mask):
        c = self.config
        self.epsilon, heads = c["layer_norm_eps"], c["num_attention_heads"]
        below = 2 ** math.floor(math.log2(heads))
        slopes = [2 ** (-8 * (i + 1) / below) for i in range(below)]
        slopes += [2 ** (-8 * (i + 1) / (2 * below)) for i in range(0, 2 * below, 2)][: heads - below]
        positions = torch.arange(ids.shape[1])
        bias = -torch.tensor(slopes).double()[:, None, None] * (positions - positions[:, None]).abs()
        x = self.embeddings(ids, "embeddings.LayerNorm")
        for n in range(c["num_hidden_layers"]):
            at = f"encoder.layer.{n}"
            parts = [self.linear(x, f"{at}.attention.self.{part}") for part in ("query", "key", "value")]
            attended = self.linear(self.attention(*parts, mask, heads, bias=bias), f"{at}.attention.output.dense")
            x = self.norm(x + attended, f"{at}.attention.output.LayerNorm")
            grown, other = self.linear(x, f"{at}.mlp.gated_layers").chunk(2, -1)
            x = self.norm(x + self.linear(F.gelu(grown) * other, f"{at}.mlp.wo"), f"{at}.mlp.layernorm")
        return x


class NomicBert(Published):
    def tokens(self, ids, mask):
        c = self.config
        self.epsilon, heads = c["layer_norm_epsilon"], c["n_head"]
        frequencies = frequencies_of(c["n_embd"] // heads, c["rotary_emb_base"])
        x = self.embeddings(ids, "emb_ln")
        for n in range(c["n_layer"]):
            at = f"encoder.layers.{n}"
            attended = self.attention(*self.linear(x, f"{at}.attn.Wqkv").chunk(3, -1), mask, heads, frequencies)
            x = self.norm(x + self.linear(attended, f"{at}.attn.out_proj"), f"{at}.norm1")
            every = c.get("moe_every_n_layers", 0)
            x = self.norm(x + self.dense(x, f"{at}.mlp", every > 0 and n % every == 1), f"{at}.norm2")
        return x

    def dense(self, x, at, experts):
        if not experts:
            if f"{at}.fc12.weight" in self.weights:
                return self.linear(self.linear(x, f"{at}.fc11") * F.silu(self.linear(x, f"{at}.fc12")), f"{at}.fc2")
            return self.linear(F.gelu(self.linear(x, f"{at}.fc1")), f"{at}.fc2")
        count = self.config["num_experts"]
        probabilities = self.linear(x, f"{at}.router.layer").softmax(-1)
        largest, chosen = probabilities.topk(self.config["moe_top_k"], -1)
        shares = torch.zeros_like(probabilities).scatter(-1, chosen, largest)
        first, second = [self.weights[f"{at}.experts.mlp.{part}"].chunk(count) for part in ("w1", "w2")]
        mixed = sum(F.gelu(x @ first[e].T) @ second[e] * shares[..., e : e + 1] for e in range(count))
        return mixed + self.weights[f"{at}.experts.bias"]


class Library:
    """A model whose tokenizer the libraries cannot build: its encoder alone."""

    def __init__(self, folder):
        self.model = with_padding(AutoModel.from_pretrained(folder))
        self.weights = dict(self.model.named_parameters())

    def tokens(self, ids, mask):
        padding = self.model.config.pad_token_id
        return self.model(input_ids=torch.where(mask == 1, ids, padding), attention_mask=mask).last_hidden_state


OTHERS = {
    "tiny-data2vec-text": Library,
    "tiny-gte": Gte,
    "tiny-jina2": JinaBert,
    "tiny-jina2-12heads": JinaBert,
    "tiny-nomic-original": NomicBert,
    "tiny-nomic-moe": NomicBert,
}


def by_port(model, folder, cases):
    pooling = json.load(open(f"{folder}/1_Pooling/config.json"))
    first = pooling.get("pooling_mode") == "cls" or pooling.get("pooling_mode_cls_token", False)

    def embed(texts):
        ids, mask = batch_of(texts, 0)
        tokens = model.tokens(ids, mask)
        if first:
            return tokens[:, 0]
        return (tokens * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)

    loss = step(embed, cases)
    return loss, {name: torch.zeros_like(w) if w.grad is None else w.grad for name, w in model.weights.items()}


def main(models, target):
    result = {}
    # Its tokenizer cannot be built either, and it has more than a pooling. Of layouts of folders, only vectors count.
    for name in sorted(set(os.listdir(models)) - {"tiny-roberta", "tiny-jina3-tasks"}):
        if name.startswith("st6-"):
            continue
        folder = f"{models}/{name}"
        cases = json.load(open(f"{folder}/expected.json"))["cases"]
        if name in OTHERS:
            loss, gradients = by_port(OTHERS[name](folder), folder, cases)
        else:
            loss, gradients = by_library(folder, cases)
        print(name, loss)
        result[name] = {"loss": loss, "gradients": {n: summary(g) for n, g in sorted(gradients.items())}}
    about = "Made by gradients.py, which says how."
    with open(target, "w") as file:
        json.dump({"about": about, "anchors": ANCHORS, "positives": POSITIVES, "models": result}, file, separators=(",", ":"))
        file.write("\n")


main(*sys.argv[1:])
