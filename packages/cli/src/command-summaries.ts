/**
 * The summaries of all commands for `sentvec --help`, which would take three times as long if it loaded the commands.
 * Each is a copy of the `summary` of its command (a test compares them); a command that is missing here is loaded.
 */
export const commandSummaries: Readonly<Record<string, string>> = {
  embed: 'Texts in, a folder of vectors out.',
  verify: 'Is a folder of vectors whole? Compares every file with the hash in its manifest.',
  similarity: 'How alike are these texts? Prints a matrix.',
  search: 'The rows of a folder of vectors that are nearest in meaning to a query.',
  rerank: 'Sort documents by how well they answer a query, with a model that reads both together.',
  'evaluate sts': "Does the model agree with people about how alike texts are? (Spearman's and Pearson's correlation)",
  'evaluate triplet': 'How often is the positive nearer to the anchor than the negative is?',
  'evaluate retrieval':
    'Does a search find the documents that answer a query? (NDCG, MRR, recall and others, of each stage)',
  'evaluate classification': 'Do the vectors tell classes apart? (nearest neighbours and a linear probe)',
  'evaluate clustering': 'Do texts of a class fall into one cluster? (v-measure of k-means)',
  info: 'What a model is made of: its four parts, sizes, prompts, the fingerprint of its space.',
  export: 'A self-contained model folder with onnx/model.onnx, for sentence-transformers and transformers.js alike.',
  distill: 'Make a static model of any other: a vector for each token, hundreds of times faster, less exact.',
  quantize: 'A model folder with an int8 file: faster and a quarter of the size, its quality measured on your texts.',
  'mine-negatives': 'Find hard negatives for pairs: texts that are near to the anchor but not its positive.',
  train: 'Fine-tune an embedder or a reranker on pairs, triplets, lists or labelled texts.',
  'queue submit': 'Have the workers of a queue embed a corpus.',
  'queue start': 'Have the workers of a queue run a workflow of a plugin.',
  'queue status': 'How far is a run, and what could it not process?',
  'queue watch': 'Watch a run until it ends.',
  'queue list': 'The runs of a queue, newest first.',
  'queue workers': 'Who serves a queue, and which workflows?',
  'queue pause': 'Let a run finish what it has begun, and begin nothing more.',
  'queue resume': 'Let a paused run go on.',
  'queue cancel': 'Stop a run, in the middle of a chunk.',
  'queue replay': 'Run an ended run again: its dead letters, or what it did not get to.',
  worker: 'Serve a queue: embed what others submit.',
  parity: 'Does every backend give the same vectors? Prints the largest difference of each pair.',
  doctor: 'What works on this machine, what does not, and why.',
  'completion bash': 'A script that completes commands, flags and their values in bash.',
  'completion zsh': 'A script that completes commands, flags and their values in zsh.',
  'completion fish': 'A script that completes commands, flags and their values in fish.',
};
