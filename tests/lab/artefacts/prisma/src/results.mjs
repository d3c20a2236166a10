// Translates the engine's JSON protocol responses into those of the GraphQL protocol.

/** Replaces `{"$type": ..., "value": ...}` by the bare value the GraphQL protocol returns. */
export function untag(value) {
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) value[i] = untag(value[i]);
    return value;
  }
  if (typeof value.$type === 'string' && 'value' in value) {
    return value.$type === 'Decimal' ? Number(value.value) : value.value;
  }
  for (const key in value) value[key] = untag(value[key]);
  return value;
}

/** One cell of a raw result as clients of engines before 5.11 expect it: each value with its type. */
function typedCell(value, type) {
  if (value === null) return { prisma__type: 'null', prisma__value: null };
  if (!type.endsWith('-array')) return { prisma__type: type, prisma__value: value };
  const element = type.slice(0, -'-array'.length);
  return { prisma__type: 'array', prisma__value: value.map((item) => typedCell(item, element)) };
}

const typedRows = ({ columns, types, rows }) => rows.map(
  (row) => Object.fromEntries(row.map((value, at) => [columns[at], typedCell(value, types[at])])),
);

function translateItem(item, rawAsRows) {
  if (item.data === undefined || item.data === null) return item;
  const [operation] = Object.keys(item.data);
  let value = item.data[operation];
  // Raw results are a table of plain cells, not a tagged document.
  if (operation === 'queryRaw') value = rawAsRows ? typedRows(value) : value;
  else value = untag(value);
  item.data = { result: value };
  return item;
}

/** A parsed engine response -> the response the GraphQL protocol would give. */
export function translateResponse(response, { rawAsRows = false } = {}) {
  response.batchResult?.forEach((item) => translateItem(item, rawAsRows));
  return translateItem(response, rawAsRows);
}
