"""Makes lora.json: the loss and the gradients of one training step of golden models with LoRA adapters, by PEFT in float64.

    PYTHONPATH=... python3 lora.py models lora.json

needs what gradients.py needs, and peft. The step is that of gradients.py. All linear layers of the encoder but its pooler have an
adapter, of rank 4 with alpha 6. Entry i of a matrix A is cos(i) / 10, of a matrix B sin(i) / 20.
"""
import json
import sys

import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from sentence_transformers import SentenceTransformer

ANCHORS, POSITIVES = [1, 2, 3], [4, 5, 6]
MODELS = ["tiny-bert", "tiny-deberta-v3", "tiny-modernbert-mean", "tiny-qwen3"]


def batch_of(texts, padding):
    length = max(len(ids) for ids in texts)
    ids = torch.tensor([text + [padding] * (length - len(text)) for text in texts])
    return ids, torch.tensor([[1] * len(text) + [0] * (length - len(text)) for text in texts])


def summary(gradient):
    flat = gradient.flatten()
    return [float(f"{x:.9g}") for x in (flat.norm(), flat @ torch.cos(torch.arange(len(flat), dtype=torch.float64)))]


def step(folder, cases):
    model = SentenceTransformer(folder, device="cpu").double().eval()
    encoder = model[0].model if hasattr(model[0], "model") else model[0].auto_model
    linear = [n for n, m in encoder.named_modules() if isinstance(m, torch.nn.Linear) and not n.startswith("pooler")]
    adapted = get_peft_model(encoder, LoraConfig(r=4, lora_alpha=6, target_modules=linear))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                entries = torch.arange(parameter.numel(), dtype=torch.float64).view_as(parameter)
                parameter.copy_(entries.cos() / 10 if "lora_A" in name else entries.sin() / 20)
    padding = model.tokenizer.pad_token_id or 0
    vectors = []
    for rows in (ANCHORS, POSITIVES):
        ids, mask = batch_of([cases[row]["ids"] for row in rows], padding)
        vectors.append(F.normalize(model({"input_ids": ids, "attention_mask": mask})["sentence_embedding"], dim=-1))
    loss = F.cross_entropy(20 * vectors[0] @ vectors[1].T, torch.arange(len(ANCHORS)))
    loss.backward()
    gradients = {
        name.removeprefix("base_model.model.").replace(".default.", "."): summary(parameter.grad)
        for name, parameter in adapted.named_parameters()
        if "lora_" in name
    }
    return {"loss": loss.item(), "gradients": gradients}


def main(models, target):
    result = {}
    for name in MODELS:
        cases = json.load(open(f"{models}/{name}/expected.json"))["cases"]
        result[name] = step(f"{models}/{name}", cases)
        print(name, result[name]["loss"])
    about = "Made by lora.py, which says how."
    with open(target, "w") as file:
        json.dump({"about": about, "anchors": ANCHORS, "positives": POSITIVES, "models": result}, file, separators=(",", ":"))
        file.write("\n")


main(*sys.argv[1:])
