/**
 * Go's dialect as text and bytes. The vectors are those of golang.org/x/mod/sumdb/tlog (v0.42.0):
 * the tree of `ParseTree`'s comment, and the rules of `isValidRecordText` and `Tile.Path`.
 * `test/interop` has the package itself judge a whole instance.
 * @module
 */
import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { openCheckpoint, signCheckpoint } from '../../../src/log/checkpoint.ts'
import { CheckpointError, NoteError, TileError } from '../../../src/log/errors.ts'
import { dataTile, fromGoPath, signTreeNote, TREE_NOTE_TITLE } from '../../../src/log/go-dialect.ts'
import { generateLogKey, openNote } from '../../../src/log/note.ts'
import {
  encodeEntries,
  entriesPath,
  parseTilePath,
  TILE_WIDTH,
  tilePath,
} from '../../../src/log/tile.ts'
import { EMPTY_ROOT } from '../../../src/log/tree.ts'
import { flip, testKey, testLeaf } from './memory-log.ts'

const GO_TREE = 'go.sum database tree\n2\nnND/nri/U0xuHUrYSy0HtMeal2vzD9V4k/BO79C+QeI=\n'
const ROOT = Uint8Array.fromBase64('nND/nri/U0xuHUrYSy0HtMeal2vzD9V4k/BO79C+QeI=')
const { signer, verifier } = testKey()

describe('tree note', () => {
  test('has the text that Go documents, under a signature that opens', () => {
    const note = signTreeNote({ size: 2, root: ROOT }, signer)
    expect(note.startsWith(`${GO_TREE}\n— ${signer.name} `)).toBe(true)
    expect(openNote(note, [verifier]).text).toBe(GO_TREE)
    const empty = signTreeNote({ size: 0, root: EMPTY_ROOT }, signer)
    expect(empty).toStartWith(
      'go.sum database tree\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n',
    )
  })

  test('opens with no byte changed', () => {
    const bytes = new TextEncoder().encode(signTreeNote({ size: 2, root: ROOT }, signer))
    for (let at = 0; at < bytes.length; at++) {
      const text = new TextDecoder().decode(flip(bytes, at))
      expect(() => openNote(text, [verifier])).toThrow(NoteError)
    }
  })

  test('is never taken for a checkpoint, nor a checkpoint for it', () => {
    const note = signTreeNote({ size: 2, root: ROOT }, signer)
    expect(() => openCheckpoint(note, verifier)).toThrow(CheckpointError)
    // A checkpoint of that origin needs a key of that name, and there is no such key.
    const origin = TREE_NOTE_TITLE
    expect(() => signCheckpoint({ origin, size: 2, root: ROOT }, signer)).toThrow(CheckpointError)
    expect(() => generateLogKey(origin, new Uint8Array(32))).toThrow(NoteError)
    const checkpoint = signCheckpoint({ origin: signer.name, size: 2, root: ROOT }, signer)
    expect(openNote(checkpoint, [verifier]).text).not.toStartWith(`${TREE_NOTE_TITLE}\n`)
  })

  test('no name that a key may have makes a checkpoint begin like one', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.mixedCase(fc.constant(TREE_NOTE_TITLE)), fc.webAuthority()),
        name => {
          let key
          try {
            key = testKey(name)
          } catch (error) {
            expect(error).toBeInstanceOf(NoteError)
            return
          }
          expect(name).not.toContain(' ')
          const tree = { size: 2, root: ROOT }
          expect(() => openCheckpoint(signTreeNote(tree, key.signer), key.verifier)).toThrow(
            CheckpointError,
          )
        },
      ),
    )
  })

  test.each([
    { size: -1, root: ROOT },
    { size: 1.5, root: ROOT },
    { size: 2, root: ROOT.subarray(1) },
  ])('signs no %j', tree => {
    expect(() => signTreeNote(tree, signer)).toThrow()
  })
})

describe('paths', () => {
  const number = fc.tuple(
    fc.oneof(fc.nat(3000), fc.maxSafeNat()),
    fc.integer({ min: 1, max: TILE_WIDTH }),
  )

  test('examples of golang.org/x/mod/sumdb/tlog, of height 8', () => {
    expect(fromGoPath('tile/8/1/x123/456')).toEqual({ path: 'tile/1/x123/456', isData: false })
    expect(fromGoPath('tile/8/0/x003/x057/500.p/12').path).toBe('tile/0/x003/x057/500.p/12')
    expect(fromGoPath('tile/8/data/x123/456')).toEqual({
      path: 'tile/entries/x123/456',
      isData: true,
    })
  })

  test('every tile and bundle has its Go path, and no C2SP path is one', () => {
    fc.assert(
      fc.property(fc.nat(63), number, (level, [index, width]) => {
        const hashes = tilePath({ level, index, width })
        const go = `tile/8/${hashes.slice('tile/'.length)}`
        expect(fromGoPath(go)).toEqual({ path: hashes, isData: false })
        expect(() => parseTilePath(go)).toThrow(TileError)
        expect(() => fromGoPath(hashes)).toThrow(TileError)
        const entries = entriesPath(index, width)
        expect(fromGoPath(entries.replace('entries', '8/data'))).toEqual({
          path: entries,
          isData: true,
        })
        expect(() => fromGoPath(entries)).toThrow(TileError)
      }),
    )
  })

  test.each([
    'tile/8/entries/000',
    'tile/8/000',
    'tile/8/x001/000',
    'tile/8/00/000',
    'tile/8/-1/000',
    'tile/8/data',
    'tile/8/0/',
    'tile/08/0/000',
    'tile/4/0/000',
    'tile/8/0x/000',
    '/tile/8/0/000',
    'x/tile/8/0/000',
    '',
  ])('%j is none', path => {
    expect(() => fromGoPath(path)).toThrow(TileError)
  })

  test.each(['tile/8/0/0', 'tile/8/0/entries/000', 'tile/8/data/000.p/256', 'tile/8/0/../000'])(
    '%j becomes none',
    path => {
      expect(() => parseTilePath(fromGoPath(path).path)).toThrow(TileError)
    },
  )
})

describe('data tiles', () => {
  test('hold each record and an empty line, and split into the same records again', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: TILE_WIDTH }), count => {
        const leaves = Array.from({ length: count }, (_, i) => testLeaf(i))
        const text = new TextDecoder().decode(dataTile(encodeEntries(leaves)))
        const records = text.split('\n\n')
        expect(records.pop()).toBe('')
        const wanted = leaves.map(leaf => new TextDecoder().decode(leaf))
        expect(records.map(record => `${record}\n`)).toEqual(wanted)
      }),
      { numRuns: 20 },
    )
  })
})
