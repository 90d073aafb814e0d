/** Who may import whom: the floors of the house. Type-only imports count as much as the others. */

/** The server, bottom to top; rooms of one floor do not know each other. The build makes the descriptions, so no room imports them. */
const FLOORS = [
	['ops'],
	['log', 'connections'],
	['hub'],
	['plans', 'auth', 'delivery'],
	['agents', 'api'],
	['transports'],
	['app'],
	['embed'],
	['server'],
	['settings', 'offline'],
	['main', 'testing', 'local', 'descriptions'],
]

const TEST = '[.]test[.]tsx?$'

const rooms = (names) => `^server/src/(${names.join('|')})(/|[.]ts$)`

const floors = FLOORS.flatMap((floor, level) =>
	floor.map((room) => ({
		name: `floor-of-${room}`,
		comment: `server/src/${room} imports only from itself and from lower floors.`,
		severity: 'error',
		from: { path: rooms([room]), pathNot: TEST },
		to: { path: rooms(FLOORS.slice(level).flat()), pathNot: rooms([room]) },
	})),
)

const between = (name, from, to, comment) => ({
	name,
	comment,
	severity: 'error',
	from: { path: `^${from}/src/`, pathNot: TEST },
	to: { path: `^(${to})/` },
})

module.exports = {
	forbidden: [
		{ name: 'no-circles', comment: 'Move what both need to a lower floor.', severity: 'error', from: {}, to: { circular: true } },
		between('shared-is-the-ground', 'shared', 'client|server|cli', 'shared imports no other package.'),
		between('client-on-shared', 'client', 'server|cli', 'The client imports shared only.'),
		between('server-on-shared', 'server', 'client|cli', 'The server imports shared only; its tests may use the client.'),
		{
			name: 'packages-by-their-entries',
			comment: 'Another package is imported by its name, never by a path into its sources.',
			severity: 'error',
			from: { path: '^(shared|client|server|cli)/src/', pathNot: TEST },
			to: {
				path: '^(shared|client|server|cli)/src/',
				pathNot: [
					'^$1/',
					'^[a-z]+/src/index[.]ts$',
					'^client/src/react/index[.]ts$',
					'^shared/src/schemas[.]ts$',
					'^server/src/(local|testing)[.]ts$',
				],
			},
		},
		{
			name: 'not-your-own-index',
			comment: 'The index is for other packages; import the file that has what you need.',
			severity: 'error',
			from: { path: '^(shared|client|server|cli)/src/' },
			to: { path: '^$1/src/index[.]ts$' },
		},
		{
			name: 'no-test-in-the-product',
			comment: 'Product code imports neither tests nor their support.',
			severity: 'error',
			from: { path: '^(shared|client|server|cli)/src/', pathNot: TEST },
			to: { path: ['^test/', TEST] },
		},
		{
			name: 'everything-on-a-floor',
			comment: 'A new room of the server needs its place in FLOORS.',
			severity: 'error',
			from: { path: '^server/src/', pathNot: [rooms(FLOORS.flat()), '^server/src/index[.]ts$', TEST] },
			to: {},
		},
		...floors,
	],
	options: {
		doNotFollow: { path: 'node_modules' },
		exclude: { path: '(^|/)dist/' },
		tsConfig: { fileName: 'tsconfig.base.json' },
		tsPreCompilationDeps: true,
	},
}
