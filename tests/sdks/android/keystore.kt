// SPDX-License-Identifier: Apache-2.0
// As far as docs/mobile.md uses it, declared by hand: https://developer.android.com/reference
package android.security.keystore

import java.security.spec.AlgorithmParameterSpec

object KeyProperties {
    const val PURPOSE_ENCRYPT = 1
    const val PURPOSE_DECRYPT = 2
    const val KEY_ALGORITHM_AES = "AES"
    const val BLOCK_MODE_GCM = "GCM"
    const val ENCRYPTION_PADDING_NONE = "NoPadding"
}

class KeyGenParameterSpec : AlgorithmParameterSpec {
    class Builder(keystoreAlias: String, purposes: Int) {
        fun setBlockModes(vararg modes: String): Builder = TODO()
        fun setEncryptionPaddings(vararg paddings: String): Builder = TODO()
        fun build(): KeyGenParameterSpec = TODO()
    }
}
