import { eventSuite, frameSuite } from '../../suites/stream.suite.js'
import { EVENT_READERS, READERS } from '../../support/streams/stream-readers.js'

for (const [name, read] of EVENT_READERS) eventSuite(name, read)
for (const [name, read] of READERS) frameSuite(name, read)
