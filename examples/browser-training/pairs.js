/** Two sentences, and how alike they are, from 0 to 1. */
export const pairs = [
  ['A man is playing a guitar.', 'A man plays an instrument.', 0.8],
  ['A woman is slicing an onion.', 'Someone is cutting vegetables.', 0.7],
  ['Two dogs run across the field.', 'A pair of dogs is running outside.', 0.9],
  ['The cat sleeps on the sofa.', 'A train leaves the station.', 0],
  ['A child rides a red bicycle.', 'A kid is riding a bike.', 0.9],
  ['The chef prepares a soup.', 'The sun sets over the sea.', 0.1],
  ['A boat crosses the lake.', 'A small ship sails on the water.', 0.8],
  ['Students listen to a lecture.', 'A teacher speaks to a class.', 0.6],
  ['He repairs the roof of the house.', 'She paints a picture of a horse.', 0.1],
  ['Snow covers the mountains.', 'The mountains are white with snow.', 1],
  ['A bird sings in the garden.', 'The phone rings in the office.', 0.2],
  ['People dance at the wedding.', 'Guests are dancing at a party.', 0.7],
  ['The baker sells fresh bread.', 'Fresh bread is sold by a baker.', 1],
  ['A car stops at the light.', 'A girl reads a long book.', 0],
  ['The team won the match.', 'The players celebrate their victory.', 0.6],
  ['An old man feeds the birds.', 'A man gives food to birds.', 0.9],
];
