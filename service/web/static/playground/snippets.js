// Programs that send the selected image with the current options. Pure functions: text in, text out.

const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const string = (text) => JSON.stringify(text); // of Python and of JavaScript
const list = (names) => `[${names.map(string).join(", ")}]`;

// `request` has base (address of the server, with a slash), file, query (text), options, ids (of the classes) and key
// (whether the server needs one).
export const SNIPPETS = {
  curl: ({ base, file, query, key }) => {
    const header = key ? ' -H "X-Api-Key: $LINEAGE_API_KEY"' : "";
    return `curl${header} -F ${shell(`file=@"${file.replaceAll(/["\\]/g, "\\$&")}"`)} \\\n  ${shell(`${base}detect?${query}`)}`;
  },

  Python: ({ base, file, options, key }) => {
    const given = Object.entries(options).filter(([, value]) => value !== null && value !== "" && value.length !== 0);
    const value = (v) => (Array.isArray(v) ? list(v) : typeof v === "string" ? string(v) : v);
    return `${key ? "import os\n\n" : ""}import lineage

client = lineage.Client(${string(base)}${key ? ', os.environ["LINEAGE_API_KEY"]' : ""})
result = client.detect(${string(file)}, ${given.map(([name, v]) => `${name}=${value(v)}`).join(", ")})
for found in result:
    print(found["label"], found["score"], found["box"])`;
  },

  JavaScript: ({ base, file, query, key }) => `import { openAsBlob } from "node:fs"; // in a browser: the file of an <input>

const form = new FormData();
form.append("file", await openAsBlob(${string(file)}), ${string(file)});
const response = await fetch(${string(`${base}detect?${query}`)}, {
  method: "POST",
  body: form,${key ? '\n  headers: { "X-Api-Key": process.env.LINEAGE_API_KEY },' : ""}
});
const answer = await response.json();
if (!response.ok) throw new Error(answer.detail);
for (const { label, score, box } of answer.results[0].detections) console.log(label, score, box);`,

  tritonclient: ({ base, file, options, ids, key }) => {
    const { host, pathname, protocol } = new URL(base);
    const [model, version = ""] = options.model.split("@");
    const numbers = {
      score_threshold: options.score, iou_threshold: options.iou,
      distance_weight: options.nms ? Number(options.nms === "diou") : null,
    };
    const tensors = Object.entries(numbers).filter(([, value]) => value !== null)
      .map(([name, value]) => `\n    tensor(${string(name)}, np.array([${value}], np.float32), "FP32"),`);
    const filter = ids.length ? `\n    if int(class_id) in {${ids.join(", ")}}:\n        ` : "\n    ";
    return `${key ? "import os\n" : ""}from pathlib import Path

import numpy as np
import tritonclient.http as triton


def tensor(name, array, datatype):
    return triton.InferInput(name, array.shape, datatype).set_data_from_numpy(array)


client = triton.InferenceServerClient(${string(host + pathname.replace(/\/$/, ""))}${protocol === "https:" ? ", ssl=True" : ""})
inputs = [
    tensor("image", np.array([Path(${string(file)}).read_bytes()], np.object_), "BYTES"),${tensors.join("")}
]
answer = client.infer(${string(model)}, inputs, ${string(version)}${key ? ', headers={"X-Api-Key": os.environ["LINEAGE_API_KEY"]}' : ""})
count, detections = answer.as_numpy("count")[0], answer.as_numpy("detections")[0]
for *box, score, class_id in detections[:count].tolist():${filter}print(int(class_id), score, box)`;
  },
};
