const paragraph =
  'The harbour was quiet when the first boats came in. Nets were dried, fish were counted, and somebody laughed at a story that ' +
  'nobody else had heard. By noon the market had sold everything but the eels. ';

/** What backends are compared on: short and long, of several scripts, of nearly nothing. */
export const parityTexts: readonly string[] = [
  'A cat sleeps in the sun.',
  'How do I reset my password?',
  'no',
  'a',
  '.',
  ' ',
  '1,024 × 768 = 786,432',
  'Die Straße nach Köln ist gesperrt.',
  '東京は今日も雨です。',
  'Привет, мир! مرحبا بالعالم',
  '👩‍🚀🚀 naïve café — “quoted”',
  'word '.repeat(40),
  paragraph,
  paragraph.repeat(12),
];
