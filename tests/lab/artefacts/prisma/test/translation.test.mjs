// The translation between the protocols, without an engine or a database.
import assert from 'node:assert/strict';
import test from 'node:test';
import { splitOperation, translateDocument, translateRequest } from '../src/graphql.mjs';
import { translateResponse } from '../src/results.mjs';
import { parseModels } from '../src/schema.mjs';
import { rawParameterTypes, timestamptz } from '../src/types.mjs';
import { connectionSettings, datasourceUrl } from '../src/url.mjs';

const schema = `
datasource client {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}

model Post {
  id     Int   @id
  meta   Json  @default("{}") // free form
  data   String
  owner  User? @relation(fields: [userId], references: [id])
  userId Int?
}

model User {
  id    Int    @id
  extra Json?
  posts Post[]
}
`;
const models = parseModels(schema);
const translate = (document) => JSON.parse(translateDocument(document, models));

test('operations are split into action and model', () => {
  assert.deepEqual(splitOperation('findFirstUserOrThrow'), ['findFirstOrThrow', 'User']);
  assert.deepEqual(splitOperation('findUniqueUser'), ['findUnique', 'User']);
  assert.deepEqual(splitOperation('createManyUser'), ['createMany', 'User']);
  assert.deepEqual(splitOperation('queryRaw'), ['queryRaw', null]);
  assert.throws(() => splitOperation('dropEverything'), /Unsupported operation/);
});

test('arguments and nested selections', () => {
  const query = translate(`query {
    result: findManyUser
    ( take: 2 where: { id: { in: [1, 2,\n3] } } orderBy: [{ id: "desc" }] )
    { id posts( where: { data: "x" } ) { id owner { id } } _count { posts } }
  }`);
  assert.equal(query.modelName, 'User');
  assert.deepEqual(query.query.arguments, { take: 2, where: { id: { in: [1, 2, 3] } }, orderBy: [{ id: 'desc' }] });
  assert.deepEqual(query.query.selection.posts, {
    arguments: { where: { data: 'x' } }, selection: { id: true, owner: { selection: { id: true } } },
  });
  assert.deepEqual(query.query.selection._count, { selection: { posts: true } });
});

test('string literals, big integers and small floats pass through unchanged', () => {
  const text = 'quote " backslash \\ braces {}() newline \n snowman ☃';
  const document = `mutation { result: createOnePost ( data: { data: ${JSON.stringify(text)} id: 9007199254740993 x: 1e-07 } ) { id } }`;
  assert.match(translateDocument(document, models), /9007199254740993/);
  assert.match(translateDocument(document, models), /1e-07/);
  assert.equal(translate(document).query.arguments.data.data, text);
});

test('strings of JSON fields are tagged, wherever they occur', () => {
  const tagged = (value) => ({ $type: 'Json', value });
  const create = translate('mutation { result: createOneUser ( data: { id: 1 extra: "{\\"a\\": 1}" posts: { create: [{ meta: "[]" data: "[]" }] } } ) { id } }');
  assert.deepEqual(create.query.arguments.data.extra, tagged('{"a": 1}'));
  assert.deepEqual(create.query.arguments.data.posts.create[0], { meta: tagged('[]'), data: '[]' });
  const filter = translate('query { result: findManyPost ( where: { AND: [{ meta: { path: ["a"] equals: "1" } }] } orderBy: { meta: "asc" } ) { id } }');
  assert.deepEqual(filter.query.arguments.where.AND[0].meta, { path: ['a'], equals: tagged('1') });
  assert.deepEqual(filter.query.arguments.orderBy, { meta: 'asc' });
});

test('batches', () => {
  const item = { query: 'mutation { result: deleteManyUser { count } }', variables: {} };
  assert.deepEqual(JSON.parse(translateRequest({ batch: [item, item], transaction: true }, models)), {
    batch: Array(2).fill({ modelName: 'User', action: 'deleteMany', query: { selection: { count: true } } }),
    transaction: {},
  });
});

test('malformed documents are refused', () => {
  for (const document of ['', 'query {', 'query { result: findManyUser { id } } x', 'query { result: findManyUser ( a: "b ) { id } }']) {
    assert.throws(() => translateDocument(document, models), /Expected/);
  }
});

test('responses lose their tags and get the alias back', () => {
  const value = [{ at: { $type: 'DateTime', value: '2024-01-01T00:00:00.000Z' }, n: { $type: 'BigInt', value: '5' }, j: { $type: 'Json', value: '{"a":1}' } }];
  assert.deepEqual(translateResponse({ data: { findManyUser: value } }), {
    data: { result: [{ at: '2024-01-01T00:00:00.000Z', n: '5', j: '{"a":1}' }] },
  });
});

test('raw results in both shapes', () => {
  const table = () => ({ data: { queryRaw: { columns: ['a', 'b', 'c'], types: ['int', 'int-array', 'string'], rows: [[1, [2, null], null]] } } });
  assert.deepEqual(translateResponse(table()).data.result.rows, [[1, [2, null], null]]);
  assert.deepEqual(translateResponse(table(), { rawAsRows: true }).data.result, [{
    a: { prisma__type: 'int', prisma__value: 1 },
    b: { prisma__type: 'array', prisma__value: [{ prisma__type: 'int', prisma__value: 2 }, { prisma__type: 'null', prisma__value: null }] },
    c: { prisma__type: 'null', prisma__value: null },
  }]);
});

test('raw parameters have the types the native engine declares', () => {
  const types = rawParameterTypes('[1, 1.0, "1.5 \\" [2]", true, null, {"a": 1}, ["x", "y"], [1, "x"], [], {"prisma__type": "date", "prisma__value": "2024-01-01"}]');
  assert.deepEqual(types, [20, 1700, 25, 16, 0, 3802, 1009, 0, 0, 1184]);
});

test('timestamps are moved to UTC', () => {
  assert.equal(timestamptz('2024-01-01 00:00:00.123456+00'), '2024-01-01 00:00:00.123456');
  assert.equal(timestamptz('2024-01-01 00:30:00.5+05:30'), '2023-12-31 19:00:00.5');
  assert.equal(timestamptz('2023-12-31 20:00:00-04'), '2024-01-01 00:00:00');
});

test('connection URLs', () => {
  const { pool, schema: name, statementCacheSize, sslOptional } = connectionSettings(
    'postgresql://us%40er:p%2Fw@db:6432/name?schema=s&connection_limit=7&pool_timeout=3&pgbouncer=true&options=-c%20lock_timeout%3D5',
  );
  assert.deepEqual([pool.user, pool.password, pool.host, pool.port, pool.database, pool.max, pool.connectionTimeoutMillis, pool.options],
    ['us@er', 'p/w', 'db', 6432, 'name', 7, 3000, '-c lock_timeout=5']);
  assert.deepEqual([name, statementCacheSize, sslOptional], ['s', 0, true]);
  assert.equal(connectionSettings('postgresql://u@h/d?sslmode=disable').pool.ssl, false);
  assert.equal(connectionSettings('postgresql://u@h/d?sslmode=require&sslaccept=strict').pool.ssl.rejectUnauthorized, true);
  // An address is looked for in the certificate, as the native engine does, and libpq's words are none of Prisma's.
  const { ssl } = connectionSettings('postgresql://u@192.0.2.10/d?sslmode=require&sslaccept=strict').pool;
  const named = (subjectaltname) => ssl.checkServerIdentity('localhost', { subject: {}, subjectaltname });
  assert.equal(named('IP Address:192.0.2.10'), undefined);
  assert.match(named('DNS:localhost').message, /192\.0\.2\.10/);
  assert.equal(connectionSettings('postgresql://u@h/d?sslmode=verify-full').sslOptional, true);
  assert.throws(() => connectionSettings('mysql://u@h/d'), /Unsupported database protocol/);
});

test('the datasource URL comes from the environment, or from an override', () => {
  assert.equal(datasourceUrl(schema, { DATABASE_URL: 'postgresql://a' }), 'postgresql://a');
  assert.equal(datasourceUrl(schema, { OVERWRITE_DATASOURCES: '[{"name":"client","url":"postgresql://b"}]' }), 'postgresql://b');
  assert.throws(() => datasourceUrl(schema, {}), /Environment variable not found: DATABASE_URL/);
});
