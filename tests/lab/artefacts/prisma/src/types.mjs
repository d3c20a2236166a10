// How PostgreSQL's types map to the driver adapter's: results by column, raw parameters by their JSON form.
import pg from 'pg';

// Column type codes of the driver adapter interface. An array type is its
// element's code plus 64, except that the array codes skip Set (14).
const INT32 = 0, INT64 = 1, FLOAT = 2, DOUBLE = 3, NUMERIC = 4, BOOLEAN = 5, CHARACTER = 6, TEXT = 7;
const DATE = 8, TIME = 9, DATETIME = 10, JSON_TYPE = 11, BYTES = 13, UUID = 15;
const arrayCode = (code) => 64 + (code === UUID ? 14 : code);

const same = (text) => text;
const float = (text) => (text === 'NaN' || text.endsWith('Infinity') ? null : Number(text));
const bytes = (text) => Array.from(Buffer.from(text.slice(2), 'hex')); // bytea_output = hex
const money = (text) => text.replace(/[^0-9.-]/g, '');
const timetz = (text) => text.replace(/[+-]\d\d(:?\d\d)*$/, '');

/** `2024-01-01 02:00:00.123456+02` -> `2024-01-01 00:00:00.123456`. */
export function timestamptz(text) {
  const found = /^(.*?)(\.\d+)?([+-])(\d\d)(?::?(\d\d))?(?::?(\d\d))?$/.exec(text);
  if (!found) return text; // infinity, BC dates
  const [, clock, fraction = '', sign, hours, minutes = '0', secs = '0'] = found;
  const offset = (Number(hours) * 3600 + Number(minutes) * 60 + Number(secs)) * (sign === '-' ? -1 : 1);
  if (offset === 0) return clock + fraction;
  const shifted = new Date(Date.parse(`${clock.replace(' ', 'T')}Z`) - offset * 1000);
  return shifted.toISOString().slice(0, 19).replace('T', ' ') + fraction;
}

// oid, array oid, column type, parser of the text format
const SCALARS = [
  [16, 1000, BOOLEAN, (text) => text === 't'],
  [17, 1001, BYTES, bytes],
  [18, 1002, CHARACTER, same],
  [19, 1003, TEXT, same], // name
  [20, 1016, INT64, same],
  [21, 1005, INT32, Number],
  [23, 1007, INT32, Number],
  [25, 1009, TEXT, same],
  [26, 1028, INT64, same], // oid
  [114, 199, JSON_TYPE, same],
  [142, 143, TEXT, same], // xml
  [650, 651, TEXT, same], // cidr
  [700, 1021, FLOAT, float],
  [701, 1022, DOUBLE, float],
  [790, 791, NUMERIC, money],
  [869, 1041, TEXT, same], // inet
  [1042, 1014, TEXT, same], // bpchar
  [1043, 1015, TEXT, same],
  [1082, 1182, DATE, same],
  [1083, 1183, TIME, same],
  [1114, 1115, DATETIME, same],
  [1184, 1185, DATETIME, timestamptz],
  [1266, 1270, TIME, timetz],
  [1560, 1561, TEXT, same], // bit
  [1562, 1563, TEXT, same], // varbit
  [1700, 1231, NUMERIC, same],
  [2950, 2951, UUID, same],
  [3802, 3807, JSON_TYPE, same],
];
const COLUMNS = new Map();
for (const [oid, arrayOid, code, parse] of SCALARS) {
  COLUMNS.set(oid, { code, parse });
  COLUMNS.set(arrayOid, { code: arrayCode(code), parse: (text) => pg.types.arrayParser.create(text, parse).parse() });
}
const FIRST_USER_OID = 16384; // enums and the like, which read as text

const UNSUPPORTED = { 1186: 'interval', 2205: 'regclass', 2249: 'record', 2278: 'void' };
export const typeName = (oid) => UNSUPPORTED[oid] ?? `oid ${oid}`;
export const columnOf = (oid) => COLUMNS.get(oid) ?? (oid >= FIRST_USER_OID ? { code: TEXT, parse: same } : null);
export const getTypeParser = (oid) => columnOf(oid)?.parse ?? same;

// The type the native engine declares for each raw query parameter; 0 lets the server infer it.
const RAW = { text: [25, 1009], int8: [20, 1016], numeric: [1700, 1231], bool: [16, 1000], jsonb: [3802, 3807], timestamptz: [1184, 1185], bytea: [17, 1001] };
const TAGGED = { date: 'timestamptz', datetime: 'timestamptz', bigint: 'int8', decimal: 'numeric', bytes: 'bytea' };

function rawKind(value) {
  switch (typeof value) {
    case 'string': return 'text';
    case 'boolean': return 'bool';
    case 'number': return 'int8';
    case 'object': return value === null || Array.isArray(value) ? null : (TAGGED[value.prisma__type] ?? 'jsonb');
    default: return null;
  }
}

/** JSON whose numbers are all integers: one written with a fraction or an exponent, even `1.0`, is a decimal. */
function parseParameters(text) {
  const literals = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/gs;
  return JSON.parse(text.replace(literals, (literal) => {
    if (literal.startsWith('"')) return literal;
    return /[.eE]/.test(literal) ? '{"prisma__type":"decimal"}' : '0';
  }));
}

/** The parameter type oids for a raw query, given its parameters as JSON text. */
export function rawParameterTypes(parameters) {
  return parseParameters(parameters).map((value) => {
    if (!Array.isArray(value)) return RAW[rawKind(value)]?.[0] ?? 0;
    const kinds = new Set(value.map(rawKind));
    return kinds.size === 1 ? (RAW[[...kinds][0]]?.[1] ?? 0) : 0;
  });
}
