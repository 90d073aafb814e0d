import { streamSuite } from '../suites/stream.suite.js'
import { READERS } from '../suites/stream-readers.js'

for (const [name, read] of READERS) streamSuite(name, read)
