"""Makes tiny-jina3-tasks from tiny-jina3: the published layout of jina-embeddings-v3, with random adapters for tasks.

    python3 tasks.py models/tiny-jina3 models/tiny-jina3-tasks

The vectors are those of JinaEmbeddingsV3Model of transformers with weights to which the products were added beforehand.
"""
import json
import os
import shutil
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

TASKS = ["retrieval.query", "retrieval.passage", "text-matching"]
RANK, ALPHA = 4, 2


def main(source, target):
    torch.manual_seed(7)
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    config = json.load(open(f"{source}/config.json"))
    theta = config.pop("rope_parameters")["rope_theta"]
    config.update(
        architectures=["XLMRobertaModel"], auto_map={"AutoModel": "jinaai/xlm-roberta-flash-implementation--modeling_lora.XLMRobertaLoRA"},
        model_type="xlm-roberta", position_embedding_type="rotary", rotary_emb_base=theta, use_flash_attn=True, use_reg_tokens=False,
        lora_adaptations=TASKS, lora_alpha=ALPHA, lora_rank=RANK, lora_dropout_p=0.0, load_trained_adapters=True,
        lora_main_params_trainable=False, task_instructions={task: "" for task in TASKS}, truncate_dim=None,
    )
    json.dump(config, open(f"{target}/config.json", "w"), indent=2)
    modules = json.load(open(f"{source}/modules.json"))
    modules[0].update(name="transformer", type="custom_st.Transformer", kwargs=["task"])
    json.dump(modules, open(f"{target}/modules.json", "w"), indent=2)

    plain = load_file(f"{source}/model.safetensors")
    stored, merged = {}, {task: dict(plain) for task in TASKS}
    for name, weight in plain.items():
        if not name.endswith(".weight") or weight.dim() != 2:
            stored[f"roberta.{name}"] = weight
            continue
        rows, columns = weight.shape
        table = "embeddings." in name
        a = 0.3 * torch.randn(len(TASKS), *((rows, RANK) if table else (RANK, columns)))
        b = 0.3 * torch.randn(len(TASKS), *((RANK, columns) if table else (rows, RANK)))
        at = f"roberta.{name[:-len('.weight')]}.parametrizations.weight"
        stored.update({f"{at}.original": weight, f"{at}.0.lora_A": a, f"{at}.0.lora_B": b})
        for index, task in enumerate(TASKS):
            merged[task][name] = weight + (a[index] @ b[index] if table else b[index] @ a[index]) * ALPHA / RANK
    save_file(stored, f"{target}/model.safetensors", {"format": "pt"})

    expected = json.load(open(f"{source}/expected.json"))
    expected.update(model="tiny-jina3-tasks", model_type="xlm-roberta", tasks={})
    for task in TASKS:
        folder = f"{target}/{task}"
        os.makedirs(folder)
        shutil.copy(f"{source}/config.json", folder)
        save_file(merged[task], f"{folder}/model.safetensors", {"format": "pt"})
        model = AutoModel.from_pretrained(folder).double().eval()
        shutil.rmtree(folder)
        vectors = []
        with torch.no_grad():
            for case in expected["cases"]:
                tokens = model(input_ids=torch.tensor([case["ids"]])).last_hidden_state[0]
                vector = torch.nn.functional.normalize(tokens.mean(0), dim=0)
                vectors.append([float(f"{x:.8g}") for x in vector])
        expected["tasks"][task] = vectors
    json.dump(expected, open(f"{target}/expected.json", "w"), ensure_ascii=False, indent=1)


main(*sys.argv[1:])
