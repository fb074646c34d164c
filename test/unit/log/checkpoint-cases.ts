/**
 * Texts that are checkpoints and texts that are not, after https://c2sp.org/tlog-checkpoint. Go's
 * `tlog.ParseTree` agrees where it has an opinion (its origin is fixed).
 *
 * @module
 */

// The example of https://c2sp.org/tlog-checkpoint.
const ORIGIN = 'example.com/behind-the-sofa'
const ROOT = 'CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I='
const EMPTY = '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='

const good = [
  `${ORIGIN}\n20852163\n${ROOT}\n`,
  `${ORIGIN}\n1\n${ROOT}\n`,
  `${ORIGIN}\n0\n${EMPTY}\n`,
  `${ORIGIN}\n9007199254740991\n${ROOT}\n`,
  `go.sum database tree\n123456789012\nTszzRgjTG6xce+z2AG31kAXYKBgQVtCSCE40HmuwBb0=\n`,
  `${ORIGIN}\n20852163\n${ROOT}\nextension\n`,
  `${ORIGIN}\n20852163\n${ROOT}\nextension\nanother one\n`,
  `${'a'.repeat(255)}\n1\n${ROOT}\n`,
]

const sizes = [
  '',
  '00',
  '01',
  '020852163',
  '+1',
  '-1',
  '-0',
  ' 1',
  '1 ',
  '1.0',
  '1e3',
  '0x10',
  '0xabcdef',
  '１',
  '1,000',
  'one',
  'NaN',
  'Infinity',
  // Beyond 2^53-1 no size can be counted exactly; beyond 2^63 Go refuses too.
  '9007199254740992',
  '9223372036854775807',
  '9223372036854775808',
  '99999999999999999999999999',
]

const roots = [
  '',
  ROOT.slice(0, -1),
  `${ROOT}=`,
  ROOT.slice(0, -4),
  ` ${ROOT}`,
  `${ROOT} `,
  `${ROOT}\r`,
  ROOT.replace('/', '_'),
  ROOT.replace('2I=', '2J='),
  ROOT.replace('PA3', 'P\tA3'),
  `${ROOT.slice(0, -1)}A==`,
  'AAAA',
  'TszzRgjTG6xce+z2AG31kAXYKBgQVtCSCE40HmuwBTOOBIG=',
]

const bad = [
  '',
  '\n',
  '\n\n\n',
  ORIGIN,
  `${ORIGIN}\n`,
  `${ORIGIN}\n20852163\n`,
  `${ORIGIN}\n20852163\n${ROOT}`,
  `\n20852163\n${ROOT}\n`,
  `\n${ORIGIN}\n20852163\n${ROOT}\n`,
  `${ORIGIN}\r\n20852163\r\n${ROOT}\r\n`,
  `${ORIGIN}\n\n20852163\n${ROOT}\n`,
  `${ORIGIN}\n20852163\n${ROOT}\n\n`,
  `${ORIGIN}\n20852163\n${ROOT}\n\nextension\n`,
  `${ORIGIN}\n20852163\n${ROOT}\nextension`,
  `${ORIGIN}\n0\n${ROOT}\n`,
  `${'a'.repeat(256)}\n1\n${ROOT}\n`,
  `${'é'.repeat(128)}\n1\n${ROOT}\n`,
  `a\tb\n1\n${ROOT}\n`,
  `a\u0000b\n1\n${ROOT}\n`,
  `a\ud800b\n1\n${ROOT}\n`,
  ...sizes.map(size => `${ORIGIN}\n${size}\n${ROOT}\n`),
  ...roots.map(root => `${ORIGIN}\n20852163\n${root}\n`),
]

export const checkpointTextCases: readonly { text: string; accepted: boolean }[] = [
  ...good.map(text => ({ text, accepted: true })),
  ...bad.map(text => ({ text, accepted: false })),
]
